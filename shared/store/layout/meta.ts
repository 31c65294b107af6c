import { ConfigError } from '#runtime/config.ts';
import type { Keys } from './keys.ts';
import { halfWay } from './lease.ts';
import type { Client } from '#store/connection/client.ts';
import { otherSchema, SCHEMA } from './schema.ts';

const DEFAULT_PARTITIONS = { single: 8, cluster: 64 } as const;

/**
 * The number of partitions: set at the first start, checked at every other; `choir repartition` changes it. A child's
 * partition follows from it, so with another number every child would be looked for in the wrong place.
 */
export async function openSchema(
  client: Client,
  keys: Keys,
  wanted: number | undefined,
  cluster: boolean,
): Promise<number> {
  const first = wanted ?? (cluster ? DEFAULT_PARTITIONS.cluster : DEFAULT_PARTITIONS.single);
  await client.hsetnx(keys.meta, 'partitions', first);
  await client.hsetnx(keys.meta, 'schema', SCHEMA);
  const [partitions, schema, to] = await client.hmget(keys.meta, 'partitions', 'schema', 'repartitioning');
  if (schema !== SCHEMA) throw new ConfigError(otherSchema(schema ?? 'unknown'));
  if (to != null) throw halfWay(to);
  if (wanted !== undefined && Number(partitions) !== wanted)
    throw new ConfigError(
      `PARTITIONS is ${wanted}, but the data was laid out with ${partitions}: leave it unset, or see "choir repartition --help"`,
    );
  return Number(partitions);
}
