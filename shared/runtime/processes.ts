/**
 * Several processes of a role on one port, kept running by the process that started them. Each listens by itself and the
 * kernel deals the connections out (SO_REUSEPORT): one that dies takes only its own with it. Where the system has no such
 * thing, node:cluster's parent hands them out.
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from './log.ts';

const FIRST_RESTART_MS = 200;
const LAST_RESTART_MS = 5_000;
/** A process that lived so long is started again at once when it dies. */
const HEALTHY_MS = 10_000;

/** This process is one of those; its parent has read the same configuration. */
export const isOneOfSeveral = (): boolean => cluster.isWorker;

/** How such a process listens. */
export const sharing = (): { reusePort?: true; exclusive?: true } =>
  cluster.isWorker && process.platform === 'linux' ? { reusePort: true, exclusive: true } : {};

type Listening = { choir: 'listening'; port: number };

export function tellListening(port: number): void {
  if (cluster.isWorker) process.send?.({ choir: 'listening', port } satisfies Listening);
}

async function drain(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const ended = once(worker, 'exit');
  worker.process.kill('SIGTERM');
  await ended;
}

type Group = { exec: string; count: number; port: number; env?: Record<string, string>; log: Logger };

/**
 * Starts `count` processes of a program and resolves with their port once all listen. One that dies is started again. On
 * release each is told to drain (SIGTERM) and waited for.
 */
export async function runProcesses(group: Group, stack: AsyncDisposableStack): Promise<{ port: number }> {
  const running = new Set<Worker>();
  const restarts = new Set<NodeJS.Timeout>();
  let { port } = group;
  let stopping = false;
  let restartMs = FIRST_RESTART_MS;

  function start(): Worker {
    cluster.setupPrimary({ exec: group.exec, args: [] });
    const worker = cluster.fork({ ...group.env, PORT: String(port) });
    const started = performance.now();
    running.add(worker);
    worker.on('error', (error) => group.log.warn({ error: error.message }, 'a process could not be told something'));
    worker.on('exit', (code, signal) => {
      running.delete(worker);
      if (stopping) return;
      restartMs =
        performance.now() - started > HEALTHY_MS ? FIRST_RESTART_MS : Math.min(2 * restartMs, LAST_RESTART_MS);
      group.log.error({ pid: worker.process.pid, code, signal, restartMs }, 'a process ended and is started again');
      restarts.add(
        setTimeout(() => {
          if (!stopping) start();
        }, restartMs),
      );
    });
    return worker;
  }

  async function untilListening(): Promise<number> {
    const worker = start();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    worker.on('message', (message: Listening) => {
      if (message.choir === 'listening') resolve(message.port);
    });
    worker.once('exit', () => reject(new Error(`a process of ${group.exec} ended before it served`)));
    return promise;
  }

  stack.defer(async () => {
    stopping = true;
    for (const timer of restarts) clearTimeout(timer);
    // The last one takes the clients that come back from the others; it stops when they are settled, so that none knocks just as
    // its door closes.
    const [last, ...others] = running;
    await Promise.all(others.map(drain));
    if (last !== undefined) await drain(last);
  });
  // Port 0 is the first one's choice.
  port = await untilListening();
  await Promise.all(Array.from({ length: group.count - 1 }, untilListening));
  return { port };
}
