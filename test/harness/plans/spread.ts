/** Rollouts without a network: real stores, ticks and enrolment jobs over a Redis of the test's own, step by step. */
import type { Rings } from '#domain/child/area.ts';
import type { ReleaseRef } from '#domain/child/messages.ts';
import { NO_NEXT } from '#domain/child/report.ts';
import type { ReportedStatus } from '#domain/child/status.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import { type OpenLocation, publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import type { EnrolmentJob } from '#queue/catalogue.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { packArea } from '#store/children/area-codec.ts';
import { openStores } from '#test/harness/redis/stores.ts';
import { createEnrolmentWorker } from '#workers/enrolment/enrolment-jobs.ts';
import { createTicker } from '#workers/scheduler/tick.ts';

export const STAGES = [{ name: 'Canary', type: 'WaitForSignal' as const }];
/** When rollouts are started, unless a test says otherwise: long after its children joined. */
export const START = 1_000_000;

/** A square of so many degrees around a point. */
export function square(longitude: number, latitude: number, size = 0.02): Rings {
  const [w, e, s, n] = [longitude - size / 2, longitude + size / 2, latitude - size / 2, latitude + size / 2];
  return [
    [
      [w, s],
      [e, s],
      [e, n],
      [w, n],
      [w, s],
    ],
  ];
}

export const region = (name: string, longitude: number, latitude: number, size = 2) => ({
  name,
  area: { type: 'Polygon' as const, coordinates: square(longitude, latitude, size).map((ring) => [...ring]) },
});

export const planOf = (parts: Partial<Plan>): Plan => ({ ...PRESETS['global-incremental'], ...parts });

export type Spread = Awaited<ReturnType<typeof openSpread>>;

export async function openSpread(stack: AsyncDisposableStack, partitions = 3, address?: string) {
  const s = await openStores(stack, partitions, address);
  const jobs: EnrolmentJob[] = [];
  const compensated: (string | null)[] = [];
  let serial = 0;
  let now = START;
  const all = Array.from({ length: partitions }, (_, p) => p);
  const metrics = createMetrics('test');
  const tick = createTicker({
    ...s,
    enrolmentJobs: {
      async add(job) {
        // As with the queue, adding one again is nothing.
        if (!jobs.some((each) => JSON.stringify(each) === JSON.stringify(job))) jobs.push(job);
      },
    },
    ticks: { unschedule: () => Promise.resolve(), schedule: async () => {} },
    compensate: async (_, location) => void compensated.push(location),
    clock: { now: () => now },
    metrics,
    log: createLog('test', 'silent'),
  });
  const runJob = createEnrolmentWorker({ ...s, intake: { pendingSince: () => Promise.resolve(false) }, partitions });

  async function rollout(release: string): Promise<Rollout> {
    const found = await s.releases.rollout(release);
    if (found === null) throw new Error(`there is no release ${release}`);
    return found;
  }

  return {
    ...s,
    all,
    jobs,
    compensated,
    tick,
    runJob,
    rollout,
    wait: (ms: number): void => void (now += ms),

    join: (id: string, at: number, area: Rings = square(13, 52), childCount = 0): Promise<boolean> =>
      s.join({ id, at, area: packArea(area), digest: 'd', childCount }),

    /** What a child says of a stage: the last one ends its release. */
    say: (
      { release, shortId }: ReleaseRef,
      id: string,
      status: ReportedStatus,
      stage = 0,
      next: number = NO_NEXT,
      attempt = 1,
    ) =>
      s.children.applyNow({
        kind: 'result',
        release,
        shortId,
        id,
        at: now,
        attempt,
        reports: [{ stage, status, next, digest: '0'.repeat(12), summary: '0,0,0,0,0,0,0,0,0,0,0' }],
      }),

    /** A release of its own, as it is right after its start. */
    async start(
      parts: Partial<Plan>,
      options: { freshSince?: number; release?: string; stages?: Rollout['stages'] } = {},
    ) {
      const plan = planOf(parts);
      const shortId = String(++serial);
      const release = options.release ?? `r${shortId}`;
      const published = publishedRollout({ release, shortId, stages: options.stages ?? STAGES, plan });
      const started = startRollout(published, plan, START, options.freshSince ?? 0);
      await s.releases.addUnfinished(release);
      await s.client.hset(s.keys.rollout(release), { v: 1, doc: JSON.stringify(started), plan: JSON.stringify(plan) });
      return rollout(release);
    },

    /** Writes a part of a rollout's state, as an operator's call or a tick would. */
    async change(release: string, parts: Partial<Rollout>): Promise<Rollout> {
      const before = await rollout(release);
      const written = await s.releases.write(before, { ...before, ...parts });
      if (written === false) throw new Error('somebody else wrote');
      return written;
    },

    /** Assigns everybody, and puts the order together. */
    async order(started: Rollout): Promise<void> {
      for (const p of all) while (!(await s.assignment.fleet(p, started)));
      await s.orders.compose(started);
    },

    /** Ticks and runs jobs until nothing changes any more. */
    async settle(release: string): Promise<Rollout> {
      for (let round = 0; round < 50; round++) {
        const before = (await rollout(release)).version;
        await tick(release);
        const some = jobs.splice(0);
        for (const job of some) await runJob(job);
        if ((await rollout(release)).version === before && some.length === 0) return rollout(release);
      }
      throw new Error(`${release} doesn't settle`);
    },

    /** The children in the index of a release. */
    enrolled: async (release: string): Promise<string[]> =>
      (await Promise.all(all.map((p) => s.client.zrange(s.keys.index(p, release), 0, '-1')))).flat().sort(),

    /** A field of an aggregate, over all partitions. */
    async sum(release: string, field: string, membership?: string): Promise<number> {
      const values = await Promise.all(
        all.map((p) =>
          s.client.hget(
            membership === undefined ? s.keys.agg(p, release) : s.keys.aggOf(p, release, membership),
            field,
          ),
        ),
      );
      return values.reduce((total: number, value) => total + Number(value ?? 0), 0);
    },

    /** Those of a location who are still to be enrolled. */
    todo: async (release: string, location: string): Promise<string[]> =>
      (await Promise.all(all.map((p) => s.client.zrange(s.keys.todo(p, release, location), 0, '-1')))).flat().sort(),
  };
}

export const openAt = (id: string, n: number, parts: Partial<OpenLocation> = {}): OpenLocation => ({
  id,
  n,
  members: null,
  quota: null,
  children: null,
  gates: [],
  ...parts,
});
