/** A connection, whatever it leads to. */
import type { Cluster, Redis } from 'ioredis';

export type Client = Redis | Cluster;

/** Resolves once the connection can be used. */
export async function untilReady(client: Client): Promise<void> {
  while (client.status !== 'ready') {
    const { promise, resolve } = Promise.withResolvers<void>();
    client.once('ready', resolve);
    client.once('close', resolve);
    client.once('end', resolve);
    await promise;
    client.off('ready', resolve).off('close', resolve).off('end', resolve);
    if (client.status === 'end') throw new Error('the connection to Redis was closed');
  }
}

/** Results of a pipeline; the first error of any command is thrown. */
export function unwrap(results: [Error | null, unknown][] | null): unknown[] {
  if (results === null) throw new Error('the pipeline was dropped');
  return results.map(([error, value]) => {
    if (error !== null) throw error;
    return value;
  });
}
