/** An operator who approves whatever waits for approval alone, a while after it does. */
import { requirementsOf } from '#domain/scheduling/gates.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import type { Happening } from './course.ts';

type Approval = { rollout: Rollout; happenings: Happening[] };

export function createApprover(afterMs: number) {
  /** Since when each approval is waited for. */
  const since = new Map<string, number>();

  /** Stages of a location that wait for nothing else. */
  function waiting(rollout: Rollout, location: OpenLocation, { locations }: Snapshot, now: number): number[] {
    const view = locations.get(location.id);
    if (view === undefined || location.held !== undefined) return [];
    return signalledStages(rollout).filter((stage) => {
      if (location.gates.includes(stage)) return false;
      const unmet = requirementsOf({ rollout, location, view, now }, stage).filter(({ holds }) => !holds);
      return unmet.length === 1 && unmet[0]?.kind === 'approval';
    });
  }

  return {
    /** When the next one is given; Infinity where none is waited for. */
    next: (): number => Math.min(...since.values()) + afterMs,

    /** Gives what is due. Null: nothing is. */
    approve(rollout: Rollout, snapshot: Snapshot, now: number): Approval | null {
      const { plan, started, approvedWaves } = rollout;
      const { stages, waves } = plan.advance.approval;
      const asked = new Set<string>();
      const isDue = (key: string): boolean => {
        asked.add(key);
        if (!since.has(key)) since.set(key, now);
        return now >= (since.get(key) ?? now) + afterMs;
      };
      const given: Happening[] = [];
      const isWaveDue =
        waves &&
        rollout.open.length === 0 &&
        snapshot.next.length > 0 &&
        approvedWaves < started.waves &&
        isDue(`wave ${started.waves}`);
      if (isWaveDue) given.push({ kind: 'approved', stage: null, location: null });
      const open = rollout.open.map((location) => {
        const due =
          stages.length === 0
            ? []
            : waiting(rollout, location, snapshot, now).filter((stage) => isDue(`${stage} of ${location.id}`));
        for (const stage of due)
          given.push({ kind: 'approved', stage: rollout.stages[stage]?.name ?? '', location: location.id });
        return due.length === 0 ? location : { ...location, approved: [...(location.approved ?? []), ...due] };
      });
      for (const key of since.keys()) if (!asked.has(key)) since.delete(key);
      if (given.length === 0) return null;
      const approved = { ...rollout, open, approvedWaves: isWaveDue ? started.waves : approvedWaves };
      return { rollout: approved, happenings: given };
    },
  };
}
