/** Whole plans of rollouts, with what is made of them for many children: each is read and made ready once. */
import type { Plan } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { createAssigner, type Assigner } from '#domain/plan/assigner.ts';
import type { ReleaseStore } from './release-store.ts';

/** Rollouts whose plans are kept: regions may be megabytes. */
const KEPT = 8;

export type KnownPlan = { plan: Plan; assigner(): Assigner };
export type PlanCache = ReturnType<typeof createPlanCache>;

export function createPlanCache({ plan: read }: Pick<ReleaseStore, 'plan'>) {
  const known = new Map<string, Promise<KnownPlan>>();

  async function load(release: string): Promise<KnownPlan> {
    const plan = await read(release);
    if (plan === null) throw new Error(`release ${release} has no plan`);
    let assigner: Assigner | undefined;
    return { plan, assigner: () => (assigner ??= createAssigner(plan)) };
  }

  /** A started rollout's: it never changes again. */
  return async ({
    release,
    epoch,
    startedAt,
  }: Pick<Rollout, 'release' | 'epoch' | 'startedAt'>): Promise<KnownPlan> => {
    const key = `${release} ${epoch} ${startedAt}`;
    const loading = known.get(key) ?? load(release);
    known.delete(key);
    known.set(key, loading);
    const [oldest] = known.keys();
    if (known.size > KEPT && oldest !== undefined) known.delete(oldest);
    try {
      return await loading;
    } catch (error) {
      known.delete(key);
      throw error;
    }
  };
}
