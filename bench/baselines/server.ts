/**
 * The baselines of the routes: a bare Koa app, and bare node:http, that read the same JSON body and answer as long a one,
 * without Redis. argv[2]: koa | http, argv[3]: the answer's body.
 */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import Koa from 'koa';

const [, , kind = 'koa', answer = '{}'] = process.argv;

function readJson(request: IncomingMessage): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => resolve(text === '' ? null : JSON.parse(text)));
    request.on('error', reject);
  });
}

function koa(): RequestListener {
  const object = answer === '' ? '' : (JSON.parse(answer) as object);
  const app = new Koa();
  app.use(async (ctx) => {
    await readJson(ctx.req);
    ctx.body = object;
  });
  const handle = app.callback();
  return (request, response) => void handle(request, response);
}

function http(): RequestListener {
  const object = answer === '' ? '' : (JSON.parse(answer) as object);
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    await readJson(request);
    const body = object === '' ? '' : JSON.stringify(object);
    response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length });
    response.end(body);
  };
  return (request, response) => void respond(request, response);
}

createServer(kind === 'http' ? http() : koa()).listen(Number(process.env['PORT']), '127.0.0.1');
