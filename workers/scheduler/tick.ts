/**
 * One tick of a rollout: read, decide, one guarded write, then the effects. Two ticks may overlap: the guard lets one of
 * them write, and effects are idempotent, so the other does no harm.
 */
import { isSettled, type Rollout } from '#domain/rollout/rollout.ts';
import { decide } from '#domain/scheduling/decide.ts';
import type { TickProducer } from '#queue/producers.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { Stores } from '#store/stores.ts';
import { createEffects, type EffectDeps } from './effects.ts';
import { createReporter } from './report.ts';

/** One decision often makes the next possible; after this many the tick yields to other rollouts. */
const MAX_STEPS = 20;

type Deps = EffectDeps &
  Pick<Stores, 'releases' | 'snapshots' | 'flags'> & {
    ticks: Pick<TickProducer, 'schedule' | 'unschedule'>;
    clock: Clock;
    metrics: Metrics;
    log: Logger;
  };

export function createTicker(deps: Deps) {
  const { releases, snapshots, flags, orders, ticks, clock, metrics, log } = deps;
  const report = createReporter(log);
  const effects = createEffects(deps);

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
    const isTakenBack = rollout.state === 'reverting' || rollout.withdrawn.some(({ as }) => as === 'reverting');
    if (rollout.state !== 'running' && !isTakenBack) return false;
    // What flags are made from must be noted from the first message on.
    if (rollout.started.waves === 0) await flags.watch(rollout);
    const { unassigned, ...snapshot } = await snapshots.aggregates(rollout);
    const decided = decide(rollout, snapshot, clock.now());
    const written = decided === rollout ? rollout : await releases.write(rollout, decided);
    metrics.ticks.inc({ outcome: written === false ? 'stale' : decided === rollout ? 'idle' : 'written' });
    if (written === false) return true;
    report(rollout, written);
    const more = await effects.perform(written);
    if (written.state === 'running' && written.order !== null) await effects.assignLate(written, unassigned);
    return more || decided !== rollout;
  }

  return async (release: string): Promise<void> => {
    for (let i = 0; i < MAX_STEPS; i++) if (!(await step(release))) return;
    await releases.requestTick(release);
  };
}
