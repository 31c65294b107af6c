/** What listing the children of a release reads. */
import type { OperatorDeps } from '#services/api/operator/deps.ts';
import { releaseChildRoutes } from '#services/api/operator/releases/children.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_NEXT } from '#domain/child/report.ts';
import { StageStatus } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { createChanges } from '#services/api/operator/changes.ts';
import type { OperatorRoute } from '#services/api/operator/route.ts';
import { givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());

describe('the list of children', () => {
  it('reads the aggregates once, however many wait for a gate', async () => {
    const rollout = runningRollout('21', '1', [{ name: 'A', type: 'WaitForSignal' }]);
    await s.client.hset(s.keys.release('21'), 'doc', '{}');
    await s.client.hset(s.keys.rollout('21'), { v: 1, doc: JSON.stringify(rollout) });
    const ids = Array.from({ length: 20 }, (_, i) => `c${i}`);
    for (const id of ids) {
      await givenEnrolled(s, rollout, id);
      const summary = packNumbers([1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
      const report = {
        stage: 0,
        status: StageStatus.SuccessWaiting,
        next: NO_NEXT,
        digest: 'a'.repeat(12),
        summary,
      };
      const { release, shortId } = rollout;
      const message = { kind: 'result', release, shortId, id, at: 2_000, attempt: 1, reports: [report] } as const;
      await s.children.applyAll(s.children.partition(id), [message]);
    }
    let reads = 0;
    const snapshots = {
      ...s.snapshots,
      aggregates: (of: typeof rollout) => {
        reads++;
        return s.snapshots.aggregates(of);
      },
    };
    const deps = { ...s, snapshots, clock: { now: () => 3_000 } } as unknown as OperatorDeps;
    const routes = releaseChildRoutes(deps, createChanges(s.releases));
    const list = routes.find(({ path }) => path === '/releases/:id/children') as OperatorRoute;
    const answer = await list.handle({ params: { id: '21' }, query: { limit: 100 }, body: {}, ctx: {} as never });
    const { items } = answer.body as { items: { id: string; waits_for: string | null }[] };
    expect(items.map(({ id }) => id).sort()).toEqual(ids.sort());
    for (const { waits_for: wait } of items) expect(wait).not.toBeNull();
    expect(reads).toBe(1);
  });
});
