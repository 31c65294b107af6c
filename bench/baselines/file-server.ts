/** Streams one file, whatever is asked for. Environment: PORT; argv[2]: the file. */
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';

const file = process.argv[2] ?? '';
const size = statSync(file).size;
createServer((request, response) => {
  if (request.url === '/readyz') return response.end('ready');
  response.writeHead(200, { 'Content-Type': 'application/zip', 'Content-Length': size });
  return createReadStream(file).pipe(response);
}).listen(Number(process.env['PORT']), '127.0.0.1');
