/**
 * One tick of a rollout: read, decide, one guarded write, then the effects. Two ticks may overlap: the guard lets one of
 * them write, and effects are idempotent, so the other does no harm.
 */
import { decide } from '#domain/decide.ts';
import { isByTurns } from '#domain/membership.ts';
import { isSettled, type Rollout } from '#domain/rollout.ts';
import type { TickProducer, WalkProducer } from '#queue/producers.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Stores } from '#store/stores.ts';
import { createReporter } from './report.ts';

/** One decision often makes the next possible; after this many the tick yields to other rollouts. */
const MAX_STEPS = 20;

type Deps = Pick<Stores, 'releases' | 'snapshots' | 'assignment' | 'enrolment' | 'marks' | 'orders'> & {
  children: Pick<Stores['children'], 'partition' | 'partitions'>;
  walks: Pick<WalkProducer, 'add'>;
  ticks: Pick<TickProducer, 'schedule' | 'unschedule'>;
  /** Publishes and starts the release that takes a location back, or (null) the whole release. Doing it again is nothing. */
  compensate(rollout: Rollout, location: string | null): Promise<void>;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
};

export function createTicker(deps: Deps) {
  const { releases, snapshots, assignment, enrolment, marks, orders, children, walks, ticks, clock, metrics, log } =
    deps;
  const partitions = Array.from({ length: children.partitions }, (_, p) => p);
  const report = createReporter(log);

  const without = async (isDone: (p: number) => Promise<boolean>): Promise<number[]> => {
    const done = await Promise.all(partitions.map(isDone));
    return partitions.filter((p) => done[p] === false);
  };

  async function walk(
    { release, epoch, started }: Rollout,
    kind: 'order' | 'late' | 'enrol',
    where: readonly number[],
  ): Promise<void> {
    const job = { release, epoch, kind, wave: started.waves };
    await Promise.all(where.map((partition) => walks.add({ ...job, partition })));
  }

  /** True: there is more to do at once. */
  async function order(rollout: Rollout): Promise<boolean> {
    const missing = await without((p) => assignment.isOrdered(p, rollout));
    await walk(rollout, 'order', missing);
    return missing.length === 0 && orders.compose(rollout);
  }

  async function enrol(rollout: Rollout): Promise<void> {
    const { release, epoch, plan, open, effects } = rollout;
    const asked = new Map(effects.flatMap((effect) => (effect.kind === 'enrol' ? [[effect.location, effect]] : [])));
    const places = open.filter(({ id, held }) => held === undefined && asked.has(id));
    if (isByTurns(plan)) for (const { id } of places) await enrolment.enrolChild(children.partition(id), rollout, id);
    else if (plan.direct && places.length > 0)
      await walk(rollout, 'enrol', await without((p) => enrolment.isMarked(p, rollout)));
    else {
      if (places.some(({ id }) => asked.get(id)?.upTo === null)) await walk(rollout, 'enrol', partitions);
      for (const { id, n } of places) {
        const upTo = asked.get(id)?.upTo ?? null;
        if (upTo !== null) await walks.add({ release, epoch, partition: 0, kind: 'fill', n, upTo });
      }
    }
  }

  /** Other locations go on, whatever keeps one from being taken back; it's tried again at the next tick. */
  async function compensate(rollout: Rollout, location: string | null): Promise<void> {
    try {
      await deps.compensate(rollout, location);
    } catch (error) {
      const { release } = rollout;
      log.error({ release, location, error: (error as Error).message }, 'it could not be taken back yet');
    }
  }

  /** Does what the rollout asks for. True: there is more to do at once. */
  async function perform(rollout: Rollout): Promise<boolean> {
    for (const effect of rollout.effects) if (effect.kind === 'compensate') await compensate(rollout, effect.location);
    if (rollout.state !== 'running') return false;
    await enrol(rollout);
    return rollout.effects.some(({ kind }) => kind === 'order') && order(rollout);
  }

  async function finish(rollout: Rollout | null, release: string): Promise<void> {
    if (rollout !== null) await orders.drop(rollout);
    await ticks.unschedule(release);
    await releases.removeUnfinished(release);
    // An operator may have begun to take it back while it was being finished.
    const now = await releases.rollout(release);
    if (now === null || now.state === 'published' || isSettled(now)) return;
    await releases.addUnfinished(release);
    await ticks.schedule(release);
  }

  /** One step. True: something changed, and there may be more to do at once. */
  async function step(release: string): Promise<boolean> {
    const rollout = await releases.rollout(release);
    if (rollout === null || isSettled(rollout)) {
      await finish(rollout, release);
      return false;
    }
    const isTakenBack = rollout.state === 'reverting' || rollout.aside.some(({ as }) => as === 'reverting');
    if (rollout.state !== 'running' && !isTakenBack) return false;
    // What marks are made from must be noted from the first message on.
    if (rollout.started.waves === 0) await marks.arm(rollout);
    const { unassigned, ...snapshot } = await snapshots.aggregates(rollout);
    const decided = decide(rollout, snapshot, clock.now());
    const written = decided === rollout ? rollout : await releases.write(rollout, decided);
    metrics.ticks.inc({ outcome: written === false ? 'stale' : decided === rollout ? 'idle' : 'written' });
    if (written === false) return true;
    report(rollout, written);
    const more = await perform(written);
    if (written.state === 'running' && written.order !== null) await walk(written, 'late', unassigned);
    return more || decided !== rollout;
  }

  return async (release: string): Promise<void> => {
    for (let i = 0; i < MAX_STEPS; i++) if (!(await step(release))) return;
    await releases.look(release);
  };
}
