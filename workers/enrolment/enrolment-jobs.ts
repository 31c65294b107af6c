/**
 * Enrolment jobs: over a partition, to assign its children or to enrol them, or over a location. Resumable: where it died,
 * a job goes on from the last batch. It stops as soon as its epoch is old.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isFinished, type OpenLocation, type Rollout } from '#domain/rollout/rollout.ts';
import { type EnrolmentJob, enrolmentJob } from '#queue/catalogue.ts';
import type { IntakeProducer } from '#queue/intake-producer.ts';
import type { FlagStore } from '#store/children/flag-store.ts';
import type { AssignmentStore } from '#store/enrolment/assignment-store.ts';
import type { EnrolmentStore } from '#store/enrolment/enrolment-store.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

const BACKLOG_CHECK_MS = 50;
/** Locations of which a batch each is enrolled before the rollout is read again: it may be held by then. */
const LOCATIONS_AT_ONCE = 50;

type Deps = {
  releases: Pick<ReleaseStore, 'rollout' | 'requestTick'>;
  assignment: AssignmentStore;
  flags: Pick<FlagStore, 'failedOrLost' | 'retry'>;
  enrolment: EnrolmentStore;
  intake: Pick<IntakeProducer, 'pendingSince'>;
  partitions: number;
};

/** A job takes a step at a time, each on the rollout as it is then. */
type Work = {
  /** It goes by last heartbeat: one that was accepted before the start counts, also while it's still queued. */
  afterBacklog?: true;
  /** Also while the rollout is paused or halted. */
  always?: true;
  isDone?(rollout: Rollout): Promise<boolean>;
  /** True: it's done. */
  step(rollout: Rollout): Promise<boolean>;
};

export function createEnrolmentWorker(deps: Deps) {
  const { releases, intake, partitions } = deps;
  return async (data: unknown): Promise<void> => {
    const job = enrolmentJob.parse(data);
    const { release, partition, epoch } = job;
    // A job from before there were fewer partitions: its children are in another one.
    if (partition >= partitions) return;
    const { afterBacklog, always, isDone, step } = workOf(deps, job);
    for (let waited = afterBacklog !== true; ;) {
      const rollout = await releases.rollout(release);
      if (rollout === null || rollout.epoch !== epoch || isFinished(rollout.state)) return;
      if (rollout.state !== 'running' && always !== true) return;
      if ((await isDone?.(rollout)) === true) break;
      if (!waited && (await intake.pendingSince(partition, rollout.startedAt ?? 0))) {
        await sleep(BACKLOG_CHECK_MS);
        continue;
      }
      waited = true;
      if (await step(rollout)) break;
    }
    await releases.requestTick(release);
  };
}

function workOf(deps: Deps, job: EnrolmentJob): Work {
  switch (job.kind) {
    case 'assign':
      return assignWork(deps, job.partition);
    case 'assign-late':
      return assignLateWork(deps, job.partition);
    case 'enrol':
      return enrolWork(deps, job.partition);
    case 'enrol-up-to':
      return {
        async step(rollout) {
          const location = rollout.open.find((each) => each.n === job.n && each.held === undefined);
          return location === undefined || deps.enrolment.enrolUpTo(rollout, location, job.upTo);
        },
      };
    case 'retry':
      return retryWork(deps, job.partition, job.location === '' ? null : job.location);
  }
}

/** Children that are to be taken back are found by what they have done, whenever they were seen. */
const takesBack = ({ plan }: Rollout): boolean => plan.compensates !== null;

function assignWork({ assignment }: Deps, p: number): Work {
  const scan = assignment.newDoneScan();
  return {
    afterBacklog: true,
    isDone: (rollout) => assignment.isAssigned(p, rollout),
    step: (rollout) => (takesBack(rollout) ? assignment.done(p, rollout, scan, true) : assignment.fleet(p, rollout)),
  };
}

function assignLateWork({ assignment }: Deps, p: number): Work {
  const scan = assignment.newDoneScan();
  return {
    step: (rollout) => (takesBack(rollout) ? assignment.done(p, rollout, scan, false) : assignment.late(p, rollout)),
  };
}

function enrolWork({ enrolment }: Deps, p: number): Work {
  return {
    afterBacklog: true,
    isDone: async (rollout) => rollout.plan.direct && enrolment.isEnrolmentComplete(p, rollout),
    async step(rollout) {
      if (rollout.plan.direct) return enrolment.enrolFleet(p, rollout);
      const waiting = await enrolment.waitingIn(p, rollout, rollout.open.filter(isAskedFor(rollout)));
      for (const location of waiting.slice(0, LOCATIONS_AT_ONCE)) await enrolment.enrolFirst(p, rollout, location);
      return waiting.length === 0;
    },
  };
}

function retryWork({ flags }: Deps, p: number, location: string | null): Work {
  let cursor: string | null = null;
  return {
    always: true,
    async step(rollout) {
      const { ids, next } = await flags.failedOrLost(p, rollout, location, cursor);
      await flags.retry(rollout, ids);
      cursor = next;
      return next === null;
    },
  };
}

/** Locations whose children are to be enrolled at once. */
function isAskedFor({ effects }: Rollout): (location: OpenLocation) => boolean {
  const asked = new Set(
    effects.flatMap((effect) => (effect.kind === 'enrol' && effect.upTo === null ? [effect.location] : [])),
  );
  return ({ id, held }) => held === undefined && asked.has(id);
}
