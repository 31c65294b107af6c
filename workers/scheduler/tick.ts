/**
 * One tick of a rollout: read, decide, one guarded write, then the effects. Two ticks may overlap: the guard lets one of
 * them write, and effects are idempotent, so the other does no harm.
 */
import { decide } from '#domain/decide.ts';
import { type Effect, isByTurns, isFinished, type Rollout } from '#domain/rollout.ts';
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
  ticks: Pick<TickProducer, 'unschedule'>;
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

  /** In each partition. */
  const walk = async (
    { release, epoch }: Rollout,
    job: { kind: 'order' | 'late' } | { kind: 'enrol'; n: number },
    where: readonly number[],
  ) => {
    await Promise.all(where.map((partition) => walks.add({ release, partition, epoch, ...job })));
  };
  const without = async (isDone: (p: number) => Promise<boolean>): Promise<number[]> => {
    const done = await Promise.all(partitions.map(isDone));
    return partitions.filter((p) => done[p] === false);
  };

  /** True: the next tick may find more to do at once. */
  async function order(rollout: Rollout): Promise<boolean> {
    const missing = await without((p) => assignment.isOrdered(p, rollout));
    await walk(rollout, { kind: 'order' }, missing);
    return missing.length === 0 && orders.compose(rollout);
  }

  async function enrol({ location, upTo }: Effect & { kind: 'enrol' }, rollout: Rollout): Promise<void> {
    const { release, epoch, plan, open } = rollout;
    const place = open.find(({ id }) => id === location);
    if (place === undefined || place.held !== undefined) return;
    const { n } = place;
    if (isByTurns(plan)) return enrolment.enrolChild(children.partition(location), rollout, location);
    if (upTo !== null) return walks.add({ release, partition: 0, epoch, kind: 'fill', n, upTo });
    const where = plan.direct ? await without((p) => enrolment.isMarked(p, rollout)) : partitions;
    await walk(rollout, { kind: 'enrol', n }, where);
  }

  async function perform(effect: Effect, rollout: Rollout): Promise<boolean> {
    if (effect.kind === 'compensate') await deps.compensate(rollout, effect.location);
    else if (rollout.state !== 'running') return false;
    else if (effect.kind === 'enrol') await enrol(effect, rollout);
    else return order(rollout);
    return false;
  }

  async function finish(rollout: Rollout | null, release: string): Promise<void> {
    if (rollout !== null) await orders.drop(rollout);
    await ticks.unschedule(release);
    await releases.removeUnfinished(release);
  }

  /** One step. True: something changed, and there may be more to do at once. */
  async function step(release: string): Promise<boolean> {
    const rollout = await releases.rollout(release);
    if (rollout === null || isFinished(rollout.state)) {
      await finish(rollout, release);
      return false;
    }
    if (rollout.state !== 'running' && rollout.state !== 'reverting') return false;
    // What marks are made from must be noted from the first message on.
    if (rollout.started.waves === 0) await marks.arm(rollout);
    const { unassigned, ...snapshot } = await snapshots.aggregates(rollout);
    const decided = decide(rollout, snapshot, clock.now());
    const written = decided === rollout ? rollout : await releases.write(rollout, decided);
    metrics.ticks.inc({ outcome: written === false ? 'stale' : decided === rollout ? 'idle' : 'written' });
    if (written === false) return true;
    report(rollout, written);
    let more = decided !== rollout;
    for (const effect of written.effects) if (await perform(effect, written)) more = true;
    if (written.state === 'running' && written.order !== null) await walk(written, { kind: 'late' }, unassigned);
    return more;
  }

  return async (release: string): Promise<void> => {
    for (let i = 0; i < MAX_STEPS; i++) if (!(await step(release))) return;
    await releases.look(release);
  };
}
