/**
 * A real Redis server of the manager's own: on a Unix socket in DATA_DIR, every write on disk before it's answered. In a
 * session of its own, so that a Ctrl-C in the terminal doesn't stop it before the manager has drained.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import { connectRedis, untilReady } from '#store/redis.ts';

const SERVERS = ['redis-server', 'valkey-server'];
/** The length that a Unix socket's path may have, less a little. */
const MAX_SOCKET_PATH = 100;
const STOP_MS = 8_000;
const RESTART_MS = 500;
const CHECK_MS = 50;

export function findRedisServer(path = process.env['PATH'] ?? ''): string | null {
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

/** Starts it, keeps it running, and stops it when the stack is released. Resolves with the path of its socket. */
export async function startEmbeddedRedis(dir: string, log: Logger, stack: AsyncDisposableStack): Promise<string> {
  const server = findRedisServer();
  if (server === null)
    throw new ConfigError('no redis-server or valkey-server is on the path: run "npm run setup", or set REDIS_URL');
  const socket = socketPath(dir, stack);
  await stopLeftOver(dir, log);

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
    running.on('error', (error) => log.error({ error: error.message }, 'the embedded Redis cannot be started'));
    running.on('exit', (code, signal) => {
      if (stopping) return;
      log.error({ code, signal, logFile }, 'the embedded Redis ended and is started again');
      setTimeout(() => {
        if (!stopping) start();
      }, RESTART_MS).unref();
    });
  }
  start();
  stack.defer(async () => {
    stopping = true;
    await stop(running);
  });
  await untilAnswering(socket, () => running.exitCode !== null, logFile);
  return socket;
}

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
  try {
    await Promise.race([
      untilReady(client),
      (async () => {
        while (!ended()) await sleep(CHECK_MS);
        const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n');
        throw new ConfigError(`the embedded Redis ended at once; ${logFile} says:\n${tail}`);
      })(),
    ]);
  } finally {
    client.disconnect();
  }
}

/** A Redis that a killed manager left running is stopped: what it acknowledged is on disk. */
async function stopLeftOver(dir: string, log: Logger): Promise<void> {
  const file = join(dir, 'redis.pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').trim());
  if (!(pid > 0) || !isRedis(pid)) return;
  log.warn({ pid }, 'a Redis that an earlier manager left running is stopped');
  process.kill(pid, 'SIGTERM');
  for (let waited = 0; isRedis(pid); waited += CHECK_MS) {
    if (waited >= STOP_MS) process.kill(pid, 'SIGKILL');
    await sleep(CHECK_MS);
  }
}

/** Whether the pid is a Redis of ours, and not some other process that has been given the number since. */
function isRedis(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const commandLine = `/proc/${pid}/cmdline`;
  if (!existsSync('/proc/self/cmdline')) return true;
  try {
    return SERVERS.some((name) => readFileSync(commandLine, 'utf8').includes(name));
  } catch {
    return false;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
