/** A fns.zip of 1 MB, beside node:http that streams the same file, and nginx where it's installed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#test/harness/free-port.ts';
import { operator } from '../lib/fleet.ts';
import { load } from '../lib/load.ts';
import { alternate, compared, type Contender, type Part } from '../lib/part.ts';
import { isOnPath, ownedBy, spawnAt, startManager, startNode, startRedis, untilServes } from '../lib/processes.ts';
import { releaseForm } from '../lib/release.ts';

const BYTES = 1024 * 1024;
const CONNECTIONS = 16;

async function startNginx(stack: AsyncDisposableStack, dir: string): Promise<{ port: number }> {
  const port = await freePort();
  const config = join(dir, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  server { listen 127.0.0.1:${port}; root ${dir}; } }
`,
  );
  ownedBy(stack, spawnAt('subject', 'nginx', ['-e', 'stderr', '-c', config], { stdio: 'ignore' }));
  await untilServes(`http://127.0.0.1:${port}/fns.zip`);
  return { port };
}

export const bundle: Part = {
  name: 'bundle',
  about: 'a fns.zip of 1 MB',
  async run({ rounds, seconds }) {
    await using stack = new AsyncDisposableStack();
    const manager = await startManager(stack, await startRedis(stack));
    await operator(manager.url, 'POST', '/releases', await releaseForm('bundle', BYTES));
    const path = '/release/functions/bundle';
    const dir = mkdtempSync(join(tmpdir(), 'choir-bench-'));
    stack.defer(() => rmSync(dir, { recursive: true, force: true }));
    const file = join(dir, 'fns.zip');
    writeFileSync(file, Buffer.from(await (await fetch(manager.url + path)).arrayBuffer()));
    const node = await startNode(stack, 'subject', { file: 'bench/baselines/file-server.ts', env: {}, args: [file] });
    const nginx = isOnPath('nginx') ? await startNginx(stack, dir) : null;
    const get = async (port: number, of: string): Promise<number> =>
      (await load({ port, method: 'GET', path: of, connections: CONNECTIONS, seconds })).perSecond;
    const contenders: Record<string, Contender> = {
      ours: () => get(manager.port, path),
      node: () => get(node.port, '/fns.zip'),
    };
    if (nginx !== null) contenders['nginx'] = () => get(nginx.port, '/fns.zip');
    const { ours = [], node: streamed = [], nginx: fast } = await alternate(rounds, contenders);
    const row = { part: 'bundle', what: 'a fns.zip of 1 MB', unit: '/s', target: { atLeast: 0.8 } };
    const rows = [compared(row, ours, { what: 'node:http streaming', values: streamed })];
    if (fast !== undefined) rows.push(compared(row, ours, { what: 'nginx', values: fast }));
    return rows;
  },
};
