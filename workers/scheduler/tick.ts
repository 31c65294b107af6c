/**
 * One tick of a rollout: read, decide, one guarded write, then the effects. Two ticks may overlap: the guard lets one of
 * them write, and effects are idempotent, so the other does no harm.
 */
import { decide } from '#domain/decide.ts';
import { type Effect, isByTurns, isFinished, type Rollout } from '#domain/rollout.ts';
import type { WalkJob } from '#queue/catalogue.ts';
import type { TickProducer, WalkProducer } from '#queue/producers.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Stores } from '#store/stores.ts';
import { createReporter } from './report.ts';

/** One decision often makes the next possible; after this many the tick yields to other rollouts. */
const MAX_STEPS = 20;

type Deps = Pick<Stores, 'releases' | 'snapshots' | 'assignment' | 'enrolment' | 'orders'> & {
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
  const { releases, snapshots, assignment, enrolment, orders, children, walks, ticks, clock, metrics, log } = deps;
  const partitions = Array.from({ length: children.partitions }, (_, p) => p);
  const report = createReporter(log);

  const walkJob = ({ release, epoch }: Rollout, kind: WalkJob['kind'], partition: number, n = 0, upTo = 0): WalkJob => ({
    release,
    partition,
    kind,
    epoch,
    n,
    upTo,
  });

  /** True: the next tick may find more to do at once. */
  async function order(rollout: Rollout): Promise<boolean> {
    const missing = await Promise.all(partitions.map(async (p) => !(await assignment.isOrdered(p, rollout))));
    await Promise.all(partitions.filter((p) => missing[p]).map((p) => walks.add(walkJob(rollout, 'order', p))));
    return !missing.includes(true) && orders.compose(rollout);
  }

  async function enrol({ location, upTo }: Effect & { kind: 'enrol' }, rollout: Rollout): Promise<void> {
    const place = rollout.open.find(({ id }) => id === location);
    if (place === undefined || place.held !== undefined) return;
    if (isByTurns(rollout.plan)) return enrolment.enrolChild(children.partition(location), rollout, location);
    if (upTo !== null) return walks.add(walkJob(rollout, 'fill', 0, place.n, upTo));
    const walk = async (p: number): Promise<void> => {
      if (rollout.plan.direct && (await enrolment.isMarked(p, rollout))) return;
      await walks.add(walkJob(rollout, 'enrol', p, place.n));
    };
    await Promise.all(partitions.map(walk));
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
    const { unassigned, ...snapshot } = await snapshots.aggregates(rollout);
    const decided = decide(rollout, snapshot, clock.now());
    const written = decided === rollout ? rollout : await releases.write(rollout, decided);
    metrics.ticks.inc({ outcome: written === false ? 'stale' : decided === rollout ? 'idle' : 'written' });
    if (written === false) return true;
    report(rollout, written);
    let more = decided !== rollout;
    for (const effect of written.effects) if (await perform(effect, written)) more = true;
    if (written.state === 'running' && written.order !== null)
      await Promise.all(unassigned.map((p) => walks.add(walkJob(written, 'late', p))));
    return more;
  }

  return async (release: string): Promise<void> => {
    for (let i = 0; i < MAX_STEPS; i++) if (!(await step(release))) return;
    await releases.look(release);
  };
}
