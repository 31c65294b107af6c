/** Walks for a release: over a partition, to put its children in order or to enrol them, or over a location. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isFinished, type OpenLocation, type Rollout } from '#domain/rollout.ts';
import { type WalkJob, walkJob } from '#queue/catalogue.ts';
import type { IntakeProducer } from '#queue/producers.ts';
import type { AssignmentStore } from '#store/assignment-store.ts';
import type { EnrolmentStore } from '#store/enrolment-store.ts';
import type { MarksStore } from '#store/marks-store.ts';
import type { ReleaseStore } from '#store/release-store.ts';

const BACKLOG_CHECK_MS = 50;
/** Locations of which a batch each is enrolled before the rollout is looked at again: it may be held by then. */
const PLACES_AT_ONCE = 50;

type Deps = {
  releases: Pick<ReleaseStore, 'rollout' | 'look'>;
  assignment: AssignmentStore;
  marks: Pick<MarksStore, 'failedOrLost' | 'retry'>;
  enrolment: EnrolmentStore;
  intake: Pick<IntakeProducer, 'pendingSince'>;
  partitions: number;
};

/** A walk takes a step at a time, each on the rollout as it is then. */
type Walk = {
  /** It goes by last sign of life: one that was accepted before the start counts, also while it's still queued. */
  afterBacklog?: true;
  /** Also while the rollout is paused or halted. */
  always?: true;
  isDone?(rollout: Rollout): Promise<boolean>;
  /** True: it's through. */
  step(rollout: Rollout): Promise<boolean>;
};

/** Resumable: where it died, it goes on from the last batch. It stops as soon as its epoch is old. */
export function createWalker({ releases, assignment, marks, enrolment, intake, partitions }: Deps) {
  function walkOf(job: WalkJob): Walk {
    const p = job.partition;
    const pass = assignment.newPass();
    // Whoever is to be taken back is found by what it has done, whenever it was seen.
    const isPass = ({ plan }: Rollout): boolean => plan.compensates !== null;
    switch (job.kind) {
      case 'order':
        return {
          afterBacklog: true,
          isDone: (rollout) => assignment.isOrdered(p, rollout),
          step: (rollout) => (isPass(rollout) ? assignment.pass(p, rollout, pass, true) : assignment.walk(p, rollout)),
        };
      case 'late':
        return {
          step: (rollout) => (isPass(rollout) ? assignment.pass(p, rollout, pass, false) : assignment.late(p, rollout)),
        };
      case 'enrol':
        return {
          afterBacklog: true,
          isDone: async (rollout) => rollout.plan.direct && enrolment.isMarked(p, rollout),
          async step(rollout) {
            if (rollout.plan.direct) return enrolment.enrolBatch(p, rollout);
            const waiting = await enrolment.waitingIn(p, rollout, rollout.open.filter(isOpenFor(rollout)));
            for (const place of waiting.slice(0, PLACES_AT_ONCE)) await enrolment.enrolFirst(p, rollout, place);
            return waiting.length === 0;
          },
        };
      case 'fill':
        return {
          async step(rollout) {
            const place = rollout.open.find((each) => each.n === job.n && each.held === undefined);
            return place === undefined || enrolment.enrolUpTo(rollout, place, job.upTo);
          },
        };
      case 'retry': {
        let cursor: string | null = null;
        return {
          always: true,
          async step(rollout) {
            const { ids, next } = await marks.failedOrLost(
              p,
              rollout,
              job.location === '' ? null : job.location,
              cursor,
            );
            await marks.retry(rollout, ids);
            cursor = next;
            return next === null;
          },
        };
      }
    }
  }

  return async (data: unknown): Promise<void> => {
    const job = walkJob.parse(data);
    const { release, partition, epoch } = job;
    // A job from before there were fewer partitions: its children are walked over elsewhere.
    if (partition >= partitions) return;
    const { afterBacklog, always, isDone, step } = walkOf(job);
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
    await releases.look(release);
  };
}

/** Locations whose children are to be enrolled at once. */
function isOpenFor({ effects }: Rollout): (location: OpenLocation) => boolean {
  const asked = new Set(
    effects.flatMap((effect) => (effect.kind === 'enrol' && effect.upTo === null ? [effect.location] : [])),
  );
  return ({ id, held }) => held === undefined && asked.has(id);
}
