/** How every process of ours starts and ends. */
import { ConfigError } from './config.ts';

const DRAIN_MS = 10_000;
const ECHO_MS = 1_000;

/**
 * Runs a role until SIGTERM or SIGINT, then releases everything in reverse order, within 10 s, and exits 0.
 * `start` puts what it opens on the stack; what it threw halfway is released as well.
 */
export async function runRole(start: (stack: AsyncDisposableStack) => Promise<void>): Promise<void> {
  const stack = new AsyncDisposableStack();
  const stopped = stopSignal();
  try {
    await Promise.race([start(stack).then(() => stopped), stopped]);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${error instanceof ConfigError ? error.message : describe(error)}\n`);
  } finally {
    // Whatever hangs, the process ends: a supervisor would otherwise have to kill it.
    setTimeout(() => process.exit(process.exitCode ?? 0), DRAIN_MS).unref();
    await stack.disposeAsync().catch((error: unknown) => {
      process.exitCode = 1;
      process.stderr.write(`${describe(error)}\n`);
    });
    process.exit(process.exitCode ?? 0);
  }
}

const describe = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/**
 * Resolves at the first SIGTERM or SIGINT. The same signal within a second is the copy that a terminal sends to the
 * whole process group beside npm's own, and is ignored; a later one ends the process at once.
 */
function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let first = 0;
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      const now = performance.now();
      if (first === 0) {
        first = now;
        resolve();
      } else if (now - first > ECHO_MS) process.exit(1);
    });
  return promise;
}
