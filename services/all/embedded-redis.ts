/**
 * A real Redis server of the manager's own: on a Unix socket in DATA_DIR, every write on disk before it's answered. In a
 * session of its own, so that a Ctrl-C in the terminal doesn't stop it before the manager has drained.
 */
import { untilReady } from '#store/connection/client.ts';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import { connectRedis } from '#store/connection/redis.ts';

const SERVERS = ['redis-server', 'valkey-server'];
/** The length that a Unix socket's path may have, less a little. */
const MAX_SOCKET_PATH = 100;
const STOP_MS = 8_000;
const RESTART_MS = 500;
const CHECK_MS = 50;

export function findRedisServer(path: string): string | null {
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  const isExecutable = (file: string): boolean => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const candidates = SERVERS.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find(isExecutable) ?? null;
}

/** Starts it from one of the folders of `path`, keeps it running, and stops it when the stack is released. Resolves with the path of its socket. */
export async function startEmbeddedRedis(
  dir: string,
  path: string,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<string> {
  const server = findRedisServer(path);
  if (server === null)
    throw new ConfigError('no redis-server or valkey-server is on the path: run "npm run setup", or set REDIS_URL');
  const socket = socketPath(dir, stack);
  await stopLeftOver(socket, dir, log);

  let running: ChildProcess;
  let stopping = false;
  const logFile = join(dir, 'redis.log');
  function start(): void {
    const output = openSync(logFile, 'a', 0o600);
    running = spawn(server ?? '', redisArguments(dir, socket), {
      detached: true,
      stdio: ['ignore', output, output],
      cwd: dir,
    });
    closeSync(output);
    let gone = false;
    const again = (why: object): void => {
      if (stopping || gone) return;
      gone = true;
      log.error({ ...why, logFile }, 'the embedded Redis ended and is started again');
      setTimeout(() => {
        if (!stopping) start();
      }, RESTART_MS).unref();
    };
    running.on('error', (error) => again({ error: error.message }));
    running.on('exit', (code, signal) => again({ code, signal }));
  }
  start();
  stack.defer(async () => {
    stopping = true;
    await stop(running);
  });
  await untilAnswering(socket, () => hasEnded(running), logFile);
  return socket;
}

const hasEnded = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

function redisArguments(dir: string, socket: string): string[] {
  const settings: Record<string, string> = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir,
    pidfile: join(dir, 'redis.pid'),
    daemonize: 'no',
    appendonly: 'yes',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
  };
  return [...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), '--save', ''];
}

/** In DATA_DIR; a path too long for a socket goes through a short link to it. */
function socketPath(dir: string, stack: AsyncDisposableStack): string {
  const direct = join(dir, 'redis.sock');
  if (direct.length <= MAX_SOCKET_PATH) return direct;
  const folder = mkdtempSync(join(tmpdir(), 'choir-'));
  symlinkSync(dir, join(folder, 'd'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'd', 'redis.sock');
}

async function untilAnswering(socket: string, ended: () => boolean, logFile: string): Promise<void> {
  const client = connectRedis(socket, 'work', () => {});
  let answering = false;
  try {
    await Promise.race([
      untilReady(client).finally(() => {
        answering = true;
      }),
      (async () => {
        while (!ended() && !answering) await sleep(CHECK_MS);
        if (answering) return;
        const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n');
        throw new ConfigError(`the embedded Redis ended at once; ${logFile} says:\n${tail}`);
      })(),
    ]);
  } finally {
    client.disconnect();
  }
}

/**
 * A Redis that a killed manager left running is stopped: what it acknowledged is on disk. It's found by its socket in
 * DATA_DIR, never by a pid alone: the number may belong to a stranger by now.
 */
async function stopLeftOver(socket: string, dir: string, log: Logger): Promise<void> {
  const pid = (await pidBehind(socket)) ?? pidInFolder(dir);
  if (pid === null) return;
  log.warn({ pid }, 'a Redis that an earlier manager left running is stopped');
  process.kill(pid, 'SIGTERM');
  for (let waited = 0; isAlive(pid); waited += CHECK_MS) {
    if (waited === STOP_MS) process.kill(pid, 'SIGKILL');
    await sleep(CHECK_MS);
  }
}

/** The process that answers on the socket, if any does; one that is loading answers as well. */
async function pidBehind(socket: string): Promise<number | null> {
  if (!existsSync(socket)) return null;
  const client = new Redis({ path: socket, enableReadyCheck: false, retryStrategy: () => null, lazyConnect: true });
  client.on('error', () => {});
  try {
    await client.connect();
    return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1] ?? 0) || null;
  } catch {
    return null;
  } finally {
    client.disconnect();
  }
}

/** The process of redis.pid, if it's a Redis at work in this very folder (one that is just ending has no socket). */
function pidInFolder(dir: string): number | null {
  try {
    const pid = Number(readFileSync(join(dir, 'redis.pid'), 'utf8').trim());
    const ours = realpathSync(`/proc/${pid}/cwd`) === realpathSync(dir);
    return ours && SERVERS.some((name) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(name)) ? pid : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
