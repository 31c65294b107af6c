/**
 * Reads of children, gathered: those that are asked for in one turn of the event loop go to Redis as one command and come
 * back as one text. A command of its own for each costs more than all the rest of a poll (its objects, its write to the
 * socket, its reply's parsing).
 */
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

/** Reads in one command: Redis serves nobody else meanwhile. */
const AT_ONCE = 128;

type Read = { key: string; tag: string; resolve(fields: string[]): void; reject(error: Error): void };

/** `tag`: '' for what a poll needs, or a release's. The fields come in the order of lua/read-children.lua. */
export type ReadChild = (lane: number, key: string, tag: string) => Promise<string[]>;

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
      const keys = reads.map(({ key }) => key);
      const tags = reads.map(({ tag }) => tag);
      const lines = ((await runScript(client, 'read-children', {}, tags, keys)) as string).split('\n');
      for (let i = 0; i < reads.length; i++) reads[i]?.resolve((lines[i] ?? '').split('\t'));
    } catch (error) {
      for (const { reject } of reads) reject(error as Error);
    }
  }

  return (lane, key, tag) =>
    new Promise((resolve, reject) => {
      const read = { key, tag, resolve, reject };
      const waiting = lanes.get(lane);
      if (waiting !== undefined) return void waiting.push(read);
      lanes.set(lane, [read]);
      // After all that can be read from sockets in this turn has been.
      setImmediate(flush, lane);
    });
}
