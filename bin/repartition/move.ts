/**
 * Moves children, and what lists them, to the partitions where they belong now. In place and a batch at a time: a child's
 * name says where it belongs, so what was moved is told from what wasn't, no two children ever claim one key, and doing it
 * again goes on where it ended. Everything is written to its new place before it's removed from the old one.
 */
import { partitionOf } from '#domain/ids.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from '#store/layout/keys.ts';
import { type PartitionKey, scanPartitions } from './partition-keys.ts';

const AT_ONCE = 500;
const LETTERS_AT_ONCE = 100;

type Move = {
  client: Client;
  keys: Keys;
  prefix: string;
  to: number;
  /** Called between any two steps, with the children moved by the last one; it may throw to stop. */
  pulse(children: number): void;
};

export async function moveAll(move: Move): Promise<void> {
  const { client, prefix, to, pulse } = move;
  for await (const found of scanPartitions(client, prefix)) {
    await moveChildren(
      move,
      found.filter(({ kind, of, p }) => kind === 'child' && partitionOf(of, to) !== p),
    );
    for (const key of found) {
      if (key.kind === 'members') await moveMembers(move, key);
      if (key.kind === 'list') await moveListed(move, key);
      if (key.kind === 'shared') await spread(move, key);
      if (key.kind === 'dead-letters' && key.p >= to) await moveDeadLetters(move, key);
      if (key.kind === 'transient' && key.p >= to) await client.unlink(key.key);
    }
    pulse(0);
  }
}

const keyIn = ({ keys }: Move, p: number, rest: string): string => `${keys.partition(p)}:${rest}`;

/** RESTORE takes the very bytes that DUMP gave: no field is read, none can be forgotten. */
async function moveChildren(move: Move, children: readonly PartitionKey[]): Promise<void> {
  if (children.length === 0) return;
  const { client, to, pulse } = move;
  const dumps = await Promise.all(children.map(({ key }) => client.dumpBuffer(key)));
  await Promise.all(
    children.map(async ({ rest, of }, i) => {
      const dump = dumps[i];
      if (dump != null) await client.restore(keyIn(move, partitionOf(of, to), rest), 0, dump, 'REPLACE');
    }),
  );
  pulse(0);
  await Promise.all(children.map(({ key }) => client.unlink(key)));
  pulse(children.length);
}

async function moveMembers(move: Move, { key, p, rest }: PartitionKey): Promise<void> {
  const { client, to, pulse } = move;
  let cursor = '0';
  do {
    // A member that stays in the set while it's scanned is met, and only those that were met leave it.
    const [next, rows] = await client.zscan(key, cursor, 'COUNT', AT_ONCE);
    cursor = next;
    const members = rows.flatMap((id, i) => (i % 2 === 0 ? [{ id, score: rows[i + 1] ?? '0' }] : []));
    const strays = members.filter(({ id }) => partitionOf(id, to) !== p);
    if (strays.length === 0) continue;
    const byPartition = Map.groupBy(strays, ({ id }) => partitionOf(id, to));
    await Promise.all(
      [...byPartition].map(([into, some]) =>
        client.zadd(keyIn(move, into, rest), ...some.flatMap(({ id, score }) => [score, id])),
      ),
    );
    pulse(0);
    await client.zrem(key, ...strays.map(({ id }) => id));
    pulse(0);
  } while (cursor !== '0');
}

/** A child that is in a list twice does no harm: what comes of it is the same. */
async function moveListed(move: Move, { key, p, rest }: PartitionKey): Promise<void> {
  const { client, to, pulse } = move;
  const ids = await client.lrange(key, 0, -1);
  const byPartition = Map.groupBy(ids, (id) => partitionOf(id, to));
  for (const [into, some] of byPartition)
    if (into !== p)
      for (const slice of slices(some)) {
        await client.rpush(keyIn(move, into, rest), ...slice);
        pulse(0);
      }
  const stay = client.multi().del(key);
  for (const slice of slices(byPartition.get(p) ?? [])) stay.rpush(key, ...slice);
  unwrap(await stay.exec());
  pulse(0);
}

/** What is the same in all partitions is so in the new ones. */
async function spread(move: Move, { key, p, rest }: PartitionKey): Promise<void> {
  const { client, to, pulse } = move;
  const rows = await client.zrange(key, 0, '-1', 'WITHSCORES');
  const members = rows.flatMap((member, i) => (i % 2 === 0 ? [rows[i + 1] ?? '0', member] : []));
  for (let into = 0; into < to; into++)
    if (into !== p && members.length > 0) await client.zadd(keyIn(move, into, rest), ...members);
  if (p >= to) await client.unlink(key);
  pulse(0);
}

/** Dead letters of a partition that ceases to be. They belong to no child any more, so those of others stay where they are. */
async function moveDeadLetters({ client, keys, to, pulse }: Move, { key, p }: PartitionKey): Promise<void> {
  const into = p % to;
  const names = { dead: keys.deadLetters(into), taken: keys.deadLettersTaken(into) };
  // What was taken over before is told by the first reply.
  for (let taken = 0; ;) {
    const letters = await client.lrange(key, taken, taken + LETTERS_AT_ONCE - 1);
    if (letters.length === 0) break;
    taken = Number(await runScript(client, 'move-dead-letters', { keys: names, args: [p, taken, ...letters] }));
    pulse(0);
  }
  await client.unlink(key);
}

const slices = (ids: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(ids.length / AT_ONCE) }, (_, i) => ids.slice(i * AT_ONCE, (i + 1) * AT_ONCE));

/** What kept the moving of dead letters from being done twice. */
export async function forgetMoves(client: Client, keys: Keys, to: number): Promise<void> {
  for (let p = 0; p < to; p++) await client.unlink(keys.deadLettersTaken(p));
}
