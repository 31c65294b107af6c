/** Which children are still to come, and in which order: by location, by child, or all together. */
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { ALL, type Rules, waveSize } from '#domain/plan/plan.ts';
import { isByTurns } from '#domain/rollout/membership.ts';
import { type Rollout } from '#domain/rollout/rollout.ts';
import { createPool, type Pool } from './pool.ts';

export type LocationSize = { id: string; children: number };
type Next = Snapshot['next'];

export function createTurns(plan: Rules, locations: readonly LocationSize[]) {
  const byTurns = isByTurns(plan);
  const isByLocation = plan.by === 'regions' || plan.by === 'grid';
  const everyone = createPool(locations);
  const pools = new Map<string, Pool>(
    isByLocation ? locations.map((location) => [location.id, createPool([location])]) : [],
  );
  let children = everyone.left();
  let kept: { of: number; next: Next } | null = null;

  const poolOf = (location: string): Pool => pools.get(location) ?? everyone;

  function nameOf(turn: number): string {
    let before = 0;
    for (const { id, children: size } of locations) {
      if (turn < before + size) return `${id}-${turn - before + 1}`;
      before += size;
    }
    return `late-${turn - before + 1}`;
  }

  function locationsNext({ started }: Rollout): Next {
    if (kept?.of !== started.locations) {
      const size = Math.max(1, waveSize(plan.waves, started, locations.length));
      const some = locations.slice(started.locations, started.locations + size);
      kept = { of: started.locations, next: some.map(({ id }) => ({ id, members: poolOf(id).left() })) };
    }
    return kept.next;
  }

  return {
    /** All that there are, late joiners too. */
    children: (): number => children,

    /** Where a location that is opened takes its children from. */
    open: (id: string): Pool =>
      byTurns ? createPool(everyone.take(1).map(({ location }) => ({ id: location, children: 1 }))) : poolOf(id),

    join(location: string, n: number): void {
      poolOf(location).add(location, n);
      children += n;
      kept = null;
    },

    next(rollout: Rollout): Next {
      const { started } = rollout;
      if (isByLocation) return locationsNext(rollout);
      if (plan.by === 'all') {
        if (started.locations > 0) return [];
        return [{ id: ALL, members: plan.direct ? null : everyone.left() }];
      }
      if (everyone.left() === 0) return [];
      return byTurns ? [{ id: nameOf(started.locations), members: null }] : [{ id: 'wave', members: everyone.left() }];
    },

    order({ started }: Rollout): Snapshot['order'] {
      if (plan.direct) return null;
      if (plan.by === 'child') return { locations: children, children, outside: 0, left: everyone.left() };
      const count = plan.by === 'all' ? 1 : locations.length;
      return { locations: count, children, outside: 0, left: count - started.locations };
    },
  };
}
