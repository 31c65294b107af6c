/**
 * Reads of children, gathered: those that are asked for in one turn of the event loop go to Redis as one command and come
 * back as one text. A command of its own for each costs more than all the rest of a poll (its objects, its write to the
 * socket, its reply's parsing).
 */
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';

/** Reads in one command: Redis serves nobody else meanwhile. */
const AT_ONCE = 128;

type Read = { key: string; shortId: string; resolve(fields: string[]): void; reject(error: Error): void };

/** `shortId`: '' for what a poll needs, or a release's. The fields come in the order of read-children.lua. */
export type ReadChild = (lane: number, key: string, shortId: string) => Promise<string[]>;

/** One lane for each set of keys that one command may touch together. */
export function createChildReads(client: Client): ReadChild {
  const lanes = new Map<number, Read[]>();

  function flush(lane: number): void {
    const reads = lanes.get(lane) ?? [];
    lanes.delete(lane);
    for (let from = 0; from < reads.length; from += AT_ONCE) void send(reads.slice(from, from + AT_ONCE));
  }

  async function send(reads: readonly Read[]): Promise<void> {
    try {
      const more = reads.map(({ key }) => key);
      const args = reads.map(({ shortId }) => shortId);
      const lines = ((await runScript(client, 'read-children', { keys: {}, more, args })) as string).split('\n');
      for (let i = 0; i < reads.length; i++) reads[i]?.resolve((lines[i] ?? '').split('\t'));
    } catch (error) {
      for (const { reject } of reads) reject(error as Error);
    }
  }

  return (lane, key, shortId) =>
    new Promise((resolve, reject) => {
      const read = { key, shortId, resolve, reject };
      const forming = lanes.get(lane);
      if (forming !== undefined) return void forming.push(read);
      lanes.set(lane, [read]);
      // After all that can be read from sockets in this turn has been.
      setImmediate(flush, lane);
    });
}
