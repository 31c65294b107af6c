/** Bare servers that read the same body and answer as long a one, without Redis. */
import { startNode } from './processes.ts';

export const startBaseline = (
  stack: AsyncDisposableStack,
  kind: 'koa' | 'http',
  answer: string,
): Promise<{ port: number }> =>
  startNode(stack, 'subject', { file: 'bench/baselines/server.ts', env: {}, args: [kind, answer] });
