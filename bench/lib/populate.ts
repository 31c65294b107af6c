/** Children put straight into Redis, as workers would: for fleets that would take minutes to join over HTTP. */
import { untilReady } from '#store/connection/client.ts';
import { pollDigest } from '#services/api/child/poll-digest.ts';
import { partitionOf } from '#domain/ids.ts';
import type { JoinMessage } from '#domain/child/messages.ts';
import { packArea } from '#store/children/area-codec.ts';
import { createKeys } from '#store/layout/keys.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { createStores } from '#store/stores.ts';
import { areaOf, longId, pollBody } from '../load/bodies.ts';

export const PARTITIONS = 8;
export const keys = createKeys('uc');
const AT_ONCE = 200;
const CALLS_AT_ONCE = 16;

export type Redis = Awaited<ReturnType<typeof openRedis>>;

/** `schema`: laid out before any manager starts. */
export async function openRedis(stack: AsyncDisposableStack, url: string) {
  const client = connectRedis(url, 'work', () => {});
  stack.defer(() => client.disconnect());
  await untilReady(client);
  return { client, ...createStores(client, keys, PARTITIONS) };
}

/** Children `from` to `to` with ids as long as UUIDs, seen just now. */
export async function populate({ client, children }: Redis, prefix: string, from: number, to: number): Promise<void> {
  const [seconds] = await client.time();
  const at = Number(seconds) * 1000;
  const batches = new Map<number, JoinMessage[]>();
  let running: Promise<unknown>[] = [];
  const send = async (p: number, batch: JoinMessage[]): Promise<void> => {
    running.push(children.joinAll(p, batch));
    if (running.length < CALLS_AT_ONCE) return;
    await Promise.all(running);
    running = [];
  };
  for (let n = from; n < to; n++) {
    const id = longId(prefix, n);
    const p = partitionOf(id, PARTITIONS);
    const batch = batches.get(p) ?? [];
    batches.set(p, batch);
    const area = packArea(JSON.parse(areaOf(n)) as [number, number][][]);
    batch.push({ kind: 'join', id, at: at - (n % 1000), area, digest: pollDigest(pollBody(id, n), id), childCount: 0 });
    if (batch.length < AT_ONCE) continue;
    batches.set(p, []);
    await send(p, batch);
  }
  for (const [p, batch] of batches) if (batch.length > 0) await send(p, batch);
  await Promise.all(running);
}

/** As if each of the children had fetched the release's files: all are Doing, in their first stage. */
export async function downloadAll({ children, releases }: Redis, prefix: string, to: number, release: string) {
  const shortId = (await releases.rollout(release))?.shortId ?? '';
  const ids = Array.from({ length: to }, (_, n) => longId(prefix, n));
  for (const [p, mine] of Map.groupBy(ids, (id) => partitionOf(id, PARTITIONS)))
    for (let i = 0; i < mine.length; i += AT_ONCE)
      await children.applyAll(
        p,
        mine
          .slice(i, i + AT_ONCE)
          .map((id) => ({ kind: 'result', id, release, shortId, at: null, attempt: null, reports: [] })),
      );
}

/** A count of a release, over all partitions. */
export async function countOf({ client }: Redis, release: string, field: string): Promise<number> {
  const values = await Promise.all(
    Array.from({ length: PARTITIONS }, (_, p) => client.hget(keys.agg(p, release), field)),
  );
  return values.reduce((sum: number, value) => sum + Number(value ?? 0), 0);
}
