/** Local `redis-server` processes with settings of their own, for what a single container can't be: replicas, clusters. */
import { untilReady } from '#store/connection/client.ts';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findRedisServer } from '#services/all/embedded-redis.ts';

/** Null where tests with local servers can run; otherwise why not. */
export const noLocalServer = (): string | null =>
  findRedisServer(process.env['PATH'] ?? '') === null
    ? 'no redis-server is on the path: tests of clusters and replicas are left out'
    : null;

export type LocalServer = {
  port: number;
  /** A connection for the test's own questions. */
  client: Redis;
  signal(signal: NodeJS.Signals): void;
  /** Ends it as a power cut would; `restart` starts it again on the same data and port. */
  crash(): Promise<void>;
  restart(): Promise<void>;
  output(): string;
};

/** Every write is on disk before its answer. */
export const DURABLE = {
  appendonly: 'yes',
  appendfsync: 'always',
  save: '',
  'maxmemory-policy': 'noeviction',
  // A new replica is sent the data at once: each test starts some.
  'repl-diskless-sync': 'yes',
  'repl-diskless-sync-delay': '0',
} as const;

/** One that hangs doesn't answer at all. */
const ANSWER_MS = 5_000;
const RECONNECT_MS = 50;

type Settings = Readonly<Record<string, string>>;

/** `before`: arguments in front of the settings: a file, or that it's a Sentinel. */
export async function startServer(
  settings: Settings,
  stack: AsyncDisposableStack,
  before: readonly string[] = [],
): Promise<LocalServer> {
  const program = findRedisServer(process.env['PATH'] ?? '');
  if (program === null) throw new Error('no redis-server is on the path');
  const dir = mkdtempSync(join(tmpdir(), 'choir-redis-'));
  const port = Number(settings['port'] ?? (await freePorts(1))[0]);
  const options = { bind: '127.0.0.1', dir, ...settings, port: String(port) };
  const list = [...before, ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])];
  let running: ChildProcess;
  let output = '';
  const start = (): void => {
    running = spawn(program, list, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [running.stdout, running.stderr])
      stream?.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-20_000);
      });
  };
  const ended = (): boolean => running.exitCode !== null || running.signalCode !== null;
  start();
  const client = new Redis({
    port,
    host: '127.0.0.1',
    maxRetriesPerRequest: null,
    commandTimeout: ANSWER_MS,
    retryStrategy: () => RECONNECT_MS,
  });
  client.on('error', () => {});
  const answering = async (): Promise<void> => {
    const exited = once(running, 'exit').then(() => {
      throw new Error(`redis-server ended at once:\n${output}`);
    });
    exited.catch(() => {});
    await Promise.race([untilReady(client), exited]);
  };
  const crash = async (): Promise<void> => {
    if (ended()) return;
    const exited = once(running, 'exit');
    const lost = client.status === 'ready' ? once(client, 'close') : null;
    running.kill('SIGKILL');
    await exited;
    // Otherwise a question asked right now would wait for the restart.
    await lost;
  };
  stack.defer(async () => {
    await crash();
    client.disconnect();
    rmSync(dir, { recursive: true, force: true });
  });
  await answering();
  return {
    port,
    client,
    signal: (signal) => void running.kill(signal),
    crash,
    async restart() {
      start();
      await answering();
    },
    output: () => output,
  };
}

/** Held open together until all are found, so that no two are the same. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) {
    server.close();
    await once(server, 'close');
  }
  return ports;
}
