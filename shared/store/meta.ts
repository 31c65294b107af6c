import { ConfigError } from '#runtime/config.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';

const SCHEMA = '3';
const DEFAULT_PARTITIONS = { single: 8, cluster: 64 } as const;

/**
 * The number of partitions: fixed at the first start, checked at every other. A child's partition follows from it, so
 * with another number every child would be looked for in the wrong place.
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
  const [partitions, schema] = await client.hmget(keys.meta, 'partitions', 'schema');
  if (schema !== SCHEMA)
    throw new ConfigError(`KEY_PREFIX names data of schema ${schema}, and this version knows schema ${SCHEMA} only`);
  if (wanted !== undefined && Number(partitions) !== wanted)
    throw new ConfigError(`PARTITIONS is ${wanted}, but the data was laid out with ${partitions}: leave it unset`);
  return Number(partitions);
}
