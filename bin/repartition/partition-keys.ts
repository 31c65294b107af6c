/** The keys of all partitions, as they are found in Redis, and what each of them is. */
import type { Cluster, Redis } from 'ioredis';
import { QUEUES } from '#queue/catalogue.ts';
import type { Client } from '#store/connection/client.ts';

const AT_ONCE = 500;

export type PartitionKey = {
  key: string;
  p: number;
  /** The key without its partition: the same in all of them. */
  rest: string;
  /**
   * `members`: a sorted set of children; `list`: of children; `shared`: a sorted set that is the same in all partitions;
   * `counts`: a hash of sums over the children here; `transient`: of no use without the queue's jobs.
   */
  kind: 'child' | 'members' | 'list' | 'shared' | 'counts' | 'dead-letters' | 'transient' | 'unknown';
  /** The child's id, or the release's, or ''. */
  of: string;
  /** Of counts: which ones, as it ends the key. */
  what: string;
};

/** Batch by batch, over every master of a cluster. A key may be met twice. */
export async function* scanPartitions(client: Client, prefix: string): AsyncGenerator<PartitionKey[]> {
  const nodes = client.isCluster ? (client as Cluster).nodes('master') : [client as Redis];
  for (const node of nodes) {
    let cursor = '0';
    do {
      const [next, found] = await node.scan(cursor, 'MATCH', `${prefix}:{*`, 'COUNT', AT_ONCE);
      cursor = next;
      yield found.flatMap((key) => parseKey(key, prefix) ?? []);
    } while (cursor !== '0');
  }
}

/** Null for a key that belongs to no partition. */
function parseKey(key: string, prefix: string): PartitionKey | null {
  const [, number, rest = ''] = /^:\{(\d+)\}:(.*)$/s.exec(key.slice(prefix.length)) ?? [];
  if (number === undefined) return null;
  const as = (kind: PartitionKey['kind'], of = '', what = ''): PartitionKey => ({
    key,
    p: Number(number),
    rest,
    kind,
    of,
    what,
  });
  if (rest.startsWith('c:')) return as('child', rest.slice('c:'.length));
  if (rest === 'seen') return as('members');
  if (rest === 'late') return as('shared');
  if (rest === 'dead') return as('dead-letters');
  if (rest === 'dead-taken' || rest.startsWith('tried:') || rest.startsWith(`${QUEUES.intake}:`))
    return as('transient');
  // Names of locations may hold anything, and so may memberships.
  const [, release = '', what = '', name] = /^r:([^:]+):([a-z]+)(?::(.*))?$/s.exec(rest) ?? [];
  const kind = (name === undefined ? OF_RELEASE : OF_LOCATION)[what];
  return kind === undefined ? as('unknown') : as(kind, release, name === undefined ? what : `${what}:${name}`);
}

const OF_RELEASE: Readonly<Record<string, PartitionKey['kind']>> = {
  agg: 'counts',
  sizes: 'counts',
  idx: 'members',
  order: 'members',
  due: 'members',
  arrived: 'list',
};
const OF_LOCATION: Readonly<Record<string, PartitionKey['kind']>> = { agg: 'counts', todo: 'members' };
