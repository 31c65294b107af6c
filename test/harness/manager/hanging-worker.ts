/** A worker process that takes a batch and never finishes it, so that it can be killed in the middle. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'bullmq';
import { QUEUES } from '#queue/catalogue.ts';
import { untilReady } from '#store/connection/client.ts';
import { connectRedis } from '#store/connection/redis.ts';

const SHORT_MS = 300;

/** Resolves once it has a batch in its hands. */
export async function startHangingWorker(url: string, prefix: string): Promise<{ kill(): Promise<void> }> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), url, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , url = '', prefix = ''] = process.argv;
  const connection = connectRedis(url, 'work', () => {});
  await untilReady(connection);
  const worker = new Worker(
    QUEUES.intake,
    async () => {
      process.stdout.write('took it\n');
      await new Promise(() => {});
    },
    { connection, prefix, lockDuration: SHORT_MS, stalledInterval: SHORT_MS, maxStalledCount: 1_000_000 },
  );
  worker.on('error', () => {});
}
