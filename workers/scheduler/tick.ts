/**
 * One tick of a rollout: read, decide, one guarded write, then the effects. Two ticks may overlap: the guard lets one of
 * them write, and effects are idempotent, so the other does no harm.
 */
import { decide } from '#domain/decide.ts';
import { type Effect, isFinished, type Rollout } from '#domain/rollout.ts';
import type { TickProducer, WalkProducer } from '#queue/producers.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { EnrolmentStore } from '#store/enrolment-store.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { ReleaseStore } from '#store/release-store.ts';
import type { SnapshotStore } from '#store/snapshot-store.ts';

/** One decision often makes the next possible; after this many the tick yields to other rollouts. */
const MAX_STEPS = 20;

type Deps = {
  releases: ReleaseStore;
  snapshots: SnapshotStore;
  enrolment: EnrolmentStore;
  children: Pick<ChildStore, 'partition' | 'partitions'>;
  walks: Pick<WalkProducer, 'add'>;
  ticks: Pick<TickProducer, 'unschedule'>;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
};

export function createTicker(deps: Deps) {
  const { releases, snapshots, enrolment, children, walks, ticks, clock, metrics, log } = deps;

  async function perform(effect: Effect, rollout: Rollout): Promise<void> {
    if (effect.kind === 'enrol' && rollout.plan.locations === 'child')
      return enrolment.enrolChild(children.partition(effect.location), rollout, effect.location);
    const { release, epoch } = rollout;
    const walk = async (partition: number): Promise<void> => {
      if (await enrolment.isDone(partition, rollout, effect.kind)) return;
      await walks.add({ release, partition, kind: effect.kind, epoch });
    };
    await Promise.all(Array.from({ length: children.partitions }, (_, partition) => walk(partition)));
  }

  function report(before: Rollout, after: Rollout): void {
    const { release, version, state, reason } = after;
    if (before.state !== state) log.info({ release, version, from: before.state, state, reason }, 'rollout changed');
    for (const location of after.open) {
      const gates = before.open.find(({ id }) => id === location.id)?.gates ?? [];
      for (const gate of location.gates)
        if (!gates.includes(gate))
          log.info({ release, version, location: location.id, stage: after.stages[gate]?.name }, 'gate opened');
    }
  }

  /** One step. True: something changed, and there may be more to do at once. */
  async function step(release: string): Promise<boolean> {
    const rollout = await releases.rollout(release);
    if (rollout === null || isFinished(rollout.state)) {
      await ticks.unschedule(release);
      await releases.removeUnfinished(release);
      return false;
    }
    if (rollout.state !== 'running') return false;
    const decided = decide(rollout, await snapshots.aggregates(rollout), clock.now());
    const written = decided === rollout ? rollout : await releases.write(rollout, decided);
    metrics.ticks.inc({ outcome: written === false ? 'stale' : decided === rollout ? 'idle' : 'written' });
    if (written === false) return true;
    report(rollout, written);
    for (const effect of written.effects) await perform(effect, written);
    return decided !== rollout;
  }

  return async (release: string): Promise<void> => {
    for (let i = 0; i < MAX_STEPS; i++) if (!(await step(release))) return;
    await releases.look(release);
  };
}
