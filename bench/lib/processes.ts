/** Processes under measurement and beside it, each on a core of its own where the system lets us say so. */
import { untilReady } from '#store/connection/client.ts';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '#test/harness/free-port.ts';
import { findRedisServer } from '#services/all/embedded-redis.ts';
import { connectRedis } from '#store/connection/redis.ts';

export const TOKEN = 'bench-operator-token';
const READY_WITHIN_MS = 20_000;
const CHECK_MS = 50;

/** `subject` is what is measured, `rest` is Redis, workers and the load. */
export type Place = 'subject' | 'rest' | 'anywhere';
const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;
const CORES: Record<Exclude<Place, 'anywhere'>, string> = { subject: '0', rest: `1-${availableParallelism() - 1}` };

export function spawnAt(
  place: Place,
  command: string,
  args: readonly string[],
  options: Parameters<typeof spawn>[2] = {},
): ChildProcess {
  return canPin && place !== 'anywhere'
    ? spawn('taskset', ['-c', CORES[place], command, ...args], options)
    : spawn(command, args, options);
}

/** Ends it when the stack is released. */
export function ownedBy(stack: AsyncDisposableStack, child: ChildProcess): ChildProcess {
  const ended = once(child, 'exit');
  stack.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return child;
}

type Fsync = 'always' | 'everysec' | 'no';

export const startRedis = async (stack: AsyncDisposableStack, fsync: Fsync = 'everysec'): Promise<string> =>
  (await startRedisServer(stack, fsync)).url;

/** A Redis of its own in a temporary folder, with an append-only file. */
export async function startRedisServer(
  stack: AsyncDisposableStack,
  fsync: Fsync = 'everysec',
): Promise<{ url: string; pid: number }> {
  const server = findRedisServer(process.env['PATH'] ?? '');
  if (server === null) throw new Error('no redis-server is on the path: run "npm run setup"');
  const dir = mkdtempSync(join(tmpdir(), 'choir-bench-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const port = String(await freePort());
  const settings = { port, bind: '127.0.0.1', dir, appendonly: 'yes', appendfsync: fsync };
  const args = [...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), '--save', ''];
  const { pid = 0 } = ownedBy(stack, spawnAt('rest', server, args, { stdio: 'ignore' }));
  const url = `redis://127.0.0.1:${port}`;
  const client = connectRedis(url, 'work', () => {});
  await untilReady(client);
  client.disconnect();
  return { url, pid };
}

/** Starts a Node program that answers `GET /readyz` on PORT. */
export async function startNode(
  stack: AsyncDisposableStack,
  place: Place,
  { file, env, args = [] }: { file: string; env: Record<string, string>; args?: readonly string[] },
): Promise<{ url: string; port: number; pid: number }> {
  const port = await freePort();
  const flags = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  const child = ownedBy(
    stack,
    spawnAt(
      place,
      process.execPath,
      ['--max-semi-space-size=32', ...(place === 'subject' ? flags : []), file, ...args],
      {
        env: { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'warn', OPERATOR_TOKEN: TOKEN, ...env, PORT: String(port) },
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    ),
  );
  const url = `http://127.0.0.1:${port}`;
  await untilServes(`${url}/readyz`);
  return { url, port, pid: child.pid ?? 0 };
}

export async function untilServes(url: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const ready = await fetch(url).then(
      (reply) => reply.ok,
      () => false,
    );
    if (ready) return;
    if (performance.now() > deadline) throw new Error(`nothing serves ${url}`);
    await sleep(CHECK_MS);
  }
}

export const isOnPath = (program: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;

/** `pid`: of the API. */
export type Roles = { url: string; port: number; pid: number; worker: number; redis: string };

/** A manager whose API is what is measured; its worker and its scheduler run beside it. */
export async function startManager(
  stack: AsyncDisposableStack,
  redis: string,
  env: Record<string, string> = {},
): Promise<Roles> {
  const settings = { REDIS_URL: redis, ...env };
  const api = await startNode(stack, 'subject', { file: 'services/api/main.ts', env: settings });
  const { pid: worker } = await startNode(stack, 'rest', { file: 'workers/main.ts', env: settings });
  await startNode(stack, 'rest', { file: 'workers/scheduler/main.ts', env: settings });
  return { ...api, worker, redis };
}
