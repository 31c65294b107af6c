/** Real Redis servers, one per test file that asks: in a container, or the local program. */
import { untilReady } from '#store/connection/client.ts';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RedisContainer } from '@testcontainers/redis';
import { inject } from 'vitest';
import { freePort } from '#test/harness/free-port.ts';
import { findRedisServer } from '#services/all/embedded-redis.ts';
import { connectRedis } from '#store/connection/redis.ts';

/** `none`: for tests that need no Redis. */
export type RedisMode = 'docker' | 'local' | 'none';
/** The same that compose.yaml runs. */
export const REDIS_IMAGE = 'redis:7';

export type TestRedis = {
  url: string;
  /** Ends it as a power cut would, and starts it again on the same data and port. */
  crash(): Promise<void>;
  restart(): Promise<void>;
};

const SETTINGS = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--maxmemory-policy', 'noeviction'];

export async function startRedis(stack: AsyncDisposableStack): Promise<TestRedis> {
  const mode = inject('redisMode');
  if (mode === 'none') throw new Error('this test needs a Redis, and TEST_REDIS says none');
  return mode === 'docker' ? inContainer(stack) : startLocalRedis(stack);
}

async function inContainer(stack: AsyncDisposableStack): Promise<TestRedis> {
  const port = await freePort();
  const container = await new RedisContainer(REDIS_IMAGE)
    .withExposedPorts({ container: 6379, host: port })
    .withCommand(['redis-server', ...SETTINGS])
    .start();
  stack.defer(async () => void (await container.stop()));
  const url = container.getConnectionUrl();
  const docker = async (...args: string[]): Promise<void> => {
    const [code] = (await once(spawn('docker', args, { stdio: 'ignore' }), 'exit')) as [number];
    if (code !== 0) throw new Error(`docker ${args.join(' ')} failed`);
  };
  return {
    url,
    crash: () => docker('kill', container.getId()),
    restart: async () => {
      await docker('start', container.getId());
      await answering(url);
    },
  };
}

export async function startLocalRedis(stack: AsyncDisposableStack): Promise<TestRedis> {
  const server = findRedisServer(process.env['PATH'] ?? '');
  if (server === null) throw new Error('no redis-server is on the path');
  const dir = mkdtempSync(join(tmpdir(), 'choir-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let running: ChildProcess;
  const start = async (): Promise<void> => {
    running = spawn(server, ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, ...SETTINGS], {
      stdio: 'ignore',
    });
    await answering(url);
  };
  const crash = async (): Promise<void> => {
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  };
  await start();
  stack.defer(async () => {
    if (running.exitCode === null && running.signalCode === null) await crash();
    rmSync(dir, { recursive: true, force: true });
  });
  return { url, crash, restart: start };
}

async function answering(url: string): Promise<void> {
  const client = connectRedis(url, 'work', () => {});
  await untilReady(client);
  client.disconnect();
}
