/** What a rollout asks for, done. Each effect is idempotent, and repeated until a tick sees that it's done. */
import { isByTurns } from '#domain/rollout/membership.ts';
import type { Effect, Rollout } from '#domain/rollout/rollout.ts';
import type { EnrolmentProducer } from '#queue/producers.ts';
import type { Logger } from '#runtime/log.ts';
import type { Stores } from '#store/stores.ts';

export type EffectDeps = Pick<Stores, 'assignment' | 'enrolment' | 'orders'> & {
  children: Pick<Stores['children'], 'partition' | 'partitions'>;
  enrolmentJobs: Pick<EnrolmentProducer, 'add'>;
  /** Publishes and starts the release that takes a location back, or (null) the whole release. Doing it again is nothing. */
  compensate(rollout: Rollout, location: string | null): Promise<void>;
  log: Logger;
};

type Enrol = Extract<Effect, { kind: 'enrol' }>;

export function createEffects({ assignment, enrolment, orders, children, enrolmentJobs, ...deps }: EffectDeps) {
  const partitions = Array.from({ length: children.partitions }, (_, p) => p);

  const without = async (isDone: (p: number) => Promise<boolean>): Promise<number[]> => {
    const done = await Promise.all(partitions.map(isDone));
    return partitions.filter((p) => done[p] === false);
  };

  async function addJobs(
    { release, epoch, started }: Rollout,
    kind: 'assign' | 'assign-late' | 'enrol',
    where: readonly number[],
  ): Promise<void> {
    const job = { release, epoch, kind, wave: started.waves };
    await Promise.all(where.map((partition) => enrolmentJobs.add({ ...job, partition })));
  }

  /** True: there is more to do at once. */
  async function assign(rollout: Rollout): Promise<boolean> {
    const missing = await without((p) => assignment.isAssigned(p, rollout));
    await addJobs(rollout, 'assign', missing);
    return missing.length === 0 && orders.compose(rollout);
  }

  async function enrol(rollout: Rollout): Promise<void> {
    const { release, epoch, plan, open, effects } = rollout;
    const asked = new Map(
      effects.flatMap((effect): [string, Enrol][] => (effect.kind === 'enrol' ? [[effect.location, effect]] : [])),
    );
    const locations = open.filter(({ id, held }) => held === undefined && asked.has(id));
    if (locations.length === 0) return;
    if (isByTurns(plan)) {
      for (const { id } of locations) await enrolment.enrolChild(children.partition(id), rollout, id);
      return;
    }
    if (plan.direct) return addJobs(rollout, 'enrol', await without((p) => enrolment.isEnrolmentComplete(p, rollout)));
    if (locations.some(({ id }) => asked.get(id)?.upTo === null)) await addJobs(rollout, 'enrol', partitions);
    for (const { id, n } of locations) {
      const upTo = asked.get(id)?.upTo ?? null;
      if (upTo !== null) await enrolmentJobs.add({ release, epoch, partition: 0, kind: 'enrol-up-to', n, upTo });
    }
  }

  /** Other locations go on, whatever keeps one from being taken back; it's tried again at the next tick. */
  async function compensate(rollout: Rollout, location: string | null): Promise<void> {
    try {
      await deps.compensate(rollout, location);
    } catch (error) {
      const { release } = rollout;
      deps.log.error({ release, location, error: (error as Error).message }, 'it could not be taken back yet');
    }
  }

  return {
    /** Does what the rollout asks for. True: there is more to do at once. */
    async perform(rollout: Rollout): Promise<boolean> {
      for (const effect of rollout.effects)
        if (effect.kind === 'compensate') await compensate(rollout, effect.location);
      if (rollout.state !== 'running') return false;
      await enrol(rollout);
      return rollout.effects.some(({ kind }) => kind === 'assign') && assign(rollout);
    },

    /** Assigns late joiners, and children that are Done since, in the partitions where there are some. */
    assignLate: (rollout: Rollout, where: readonly number[]): Promise<void> => addJobs(rollout, 'assign-late', where),
  };
}
