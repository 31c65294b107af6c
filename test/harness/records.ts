/** Children in releases, written straight to where enrolling writes them; and what their records add up to. */
import { expect } from 'vitest';
import { type Plan, PRESETS } from '#domain/plan.ts';
import { contributionOf, enrolledRecord, foldContributions, progressRank } from '#domain/record.ts';
import { parseMembership } from '#domain/membership.ts';
import { publishedRollout, type Rollout, type RolloutStage, startRollout } from '#domain/rollout.ts';
import { formatHead, freshHead } from '#store/record-codec.ts';
import { hasCounts } from '#store/swap.ts';
import type { openStores } from './stores.ts';

type Opened = Pick<Awaited<ReturnType<typeof openStores>>, 'client' | 'keys' | 'children' | 'partitions' | 'join'>;

/** A rollout that runs, as it is right after its start. */
export function runningRollout(
  release: string,
  tag: string,
  stages: readonly RolloutStage[],
  plan: Partial<Plan> = {},
  { at = 1_000, freshSince = 0 } = {},
): Rollout {
  const whole = { ...PRESETS['global-incremental'], ...plan };
  return startRollout(publishedRollout(release, tag, stages, whole), whole, at, freshSince);
}

/** A child that joined at `at`, and reads Todo in the release. */
export async function givenEnrolled(s: Opened, rollout: Rollout, id: string, membership = 'all', at = 1_000) {
  const { release, tag, epoch, stages } = rollout;
  const p = s.children.partition(id);
  await s.join({ id, at, area: 'A', digest: 'd', childCount: 0 });
  const place = hasCounts(membership) ? [parseMembership(membership, id).n] : [];
  const head = formatHead(freshHead(id, stages.length, epoch, membership));
  const aggregates = [s.keys.agg(p, release)];
  if (hasCounts(membership)) aggregates.push(s.keys.aggOf(p, release, membership));
  const write = s.client
    .multi()
    .hset(s.keys.child(p, id), tag, head, 'p', [release, epoch, ...place].join(':'))
    .zadd(s.keys.index(p, release), 0, id);
  for (const key of aggregates)
    for (const [field, count] of contributionOf(enrolledRecord(stages.length))) write.hincrby(key, field, count);
  await write.exec();
}

const countsIn = async (s: Opened, key: string): Promise<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(await s.client.hgetall(key)).flatMap(([field, n]) => (field[0] === '@' ? [] : [[field, Number(n)]])),
  );

/** Law 3, in each partition: all that is kept beside the records is what they add up to. Returns the counts of all. */
export async function addsUp(s: Opened, { release, tag }: Rollout, first = 0): Promise<Record<string, number>> {
  const sums = new Map<string, number>();
  for (let p = first; p < s.partitions; p++) {
    const ids = await s.client.zrange(s.keys.index(p, release), 0, '-1');
    const records = (await Promise.all(ids.map((id) => s.children.record(tag, id)))).filter((each) => each !== null);
    const ranks = await s.client.zrange(s.keys.index(p, release), 0, '-1', 'WITHSCORES');
    records.forEach((record, i) => expect(Number(ranks[2 * i + 1]), ids[i]).toBe(progressRank(record)));
    const totals = await countsIn(s, s.keys.agg(p, release));
    expect(totals).toEqual(Object.fromEntries(foldContributions(records)));
    for (const [field, n] of Object.entries(totals)) sums.set(field, (sums.get(field) ?? 0) + n);
    const byPlace = Map.groupBy(records, ({ membership }) => membership);
    for (const [membership, members] of byPlace)
      expect(await countsIn(s, s.keys.aggOf(p, release, membership)), membership).toEqual(
        hasCounts(membership) ? Object.fromEntries(foldContributions(members)) : {},
      );
  }
  return Object.fromEntries(sums);
}
