/** Children in releases, written straight to where enrolling writes them; and what their records add up to. */
import { expect } from 'vitest';
import { progressRank } from '#domain/child/progress.ts';
import { enrolledRecord } from '#domain/child/record.ts';
import { contributionOf, foldContributions } from '#domain/counts/contribution.ts';
import { addCounts, type Counts } from '#domain/counts/counts.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import { hasOwnCounts, parseMembership } from '#domain/rollout/membership.ts';
import { publishedRollout, type Rollout, type RolloutStage, startRollout } from '#domain/rollout/rollout.ts';
import { formatHead, freshHead } from '#store/children/record-codec.ts';
import { isCount } from '#store/layout/agg-fields.ts';
import { parseCounts, toFields } from '#store/layout/counts-codec.ts';
import type { openStores } from '#test/harness/redis/stores.ts';

type Opened = Pick<Awaited<ReturnType<typeof openStores>>, 'client' | 'keys' | 'children' | 'partitions' | 'join'>;

/** A rollout that runs, as it is right after its start. */
export function runningRollout(
  release: string,
  shortId: string,
  stages: readonly RolloutStage[],
  plan: Partial<Plan> = {},
  { at = 1_000, freshSince = 0 } = {},
): Rollout {
  const whole = { ...PRESETS['global-incremental'], ...plan };
  return startRollout(publishedRollout({ release, shortId, stages, plan: whole }), whole, at, freshSince);
}

/** A child that joined at `at`, and reads Todo in the release. */
export async function givenEnrolled(s: Opened, rollout: Rollout, id: string, membership = 'all', at = 1_000) {
  const { release, shortId, epoch, stages } = rollout;
  const p = s.children.partition(id);
  await s.join({ id, at, area: 'A', digest: 'd', childCount: 0 });
  const number = hasOwnCounts(membership) ? [parseMembership(membership, id).n] : [];
  const head = formatHead(freshHead(id, stages.length, epoch, membership));
  const aggregates = [s.keys.agg(p, release)];
  if (hasOwnCounts(membership)) aggregates.push(s.keys.aggOf(p, release, membership));
  const write = s.client
    .multi()
    .hset(s.keys.child(p, id), shortId, head, 'p', [release, epoch, ...number].join(':'))
    .zadd(s.keys.index(p, release), 0, id);
  for (const key of aggregates)
    for (const [field, count] of toFields(contributionOf(enrolledRecord(stages.length))))
      write.hincrby(key, field, count);
  await write.exec();
}

/** Of a hash of counts; what jobs note beside them is left out. */
const countsIn = async (s: Opened, key: string): Promise<Record<string, string>> =>
  Object.fromEntries(Object.entries(await s.client.hgetall(key)).filter(([field]) => isCount(field)));

/** Counts as they stand in Redis, where a count at zero has no field. */
const stored = (counts: Counts): Record<string, string> =>
  Object.fromEntries([...toFields(counts)].map(([field, n]) => [field, String(n)]));

/** Counts by their fields in Redis: two that are equal by these are the same, whatever stages they hold. */
export const fieldsOf = (counts: Counts): Record<string, number> => Object.fromEntries(toFields(counts));

/** Law 3, in each partition: all that is kept beside the records is what they add up to. Returns the counts of all. */
export async function addsUp(s: Opened, { release, shortId }: Rollout, first = 0): Promise<Record<string, number>> {
  const all: Counts[] = [];
  for (let p = first; p < s.partitions; p++) {
    const ids = await s.client.zrange(s.keys.index(p, release), 0, '-1');
    const records = (await Promise.all(ids.map((id) => s.children.record(shortId, id)))).filter(
      (each) => each !== null,
    );
    const ranks = await s.client.zrange(s.keys.index(p, release), 0, '-1', 'WITHSCORES');
    records.forEach((record, i) => expect(Number(ranks[2 * i + 1]), ids[i]).toBe(progressRank(record)));
    const totals = await countsIn(s, s.keys.agg(p, release));
    expect(totals).toEqual(stored(foldContributions(records)));
    all.push(parseCounts(totals));
    const byMembership = Map.groupBy(records, ({ token }) => token);
    for (const [token, members] of byMembership)
      expect(await countsIn(s, s.keys.aggOf(p, release, token)), token).toEqual(
        hasOwnCounts(token) ? stored(foldContributions(members)) : {},
      );
  }
  return fieldsOf(addCounts(all));
}
