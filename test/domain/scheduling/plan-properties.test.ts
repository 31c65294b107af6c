/** What holds for every plan, every fleet and every accident: `decide` against a fleet that is counted child by child. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyFaults, anyScenario } from '#test/harness/plans/arbitrary-scenarios.ts';
import { createLaws } from '#test/harness/plans/laws.ts';
import { DEATHS, DELAYS, play, type Scenario } from '#test/harness/plans/play.ts';

function underLaws(scenario: Scenario) {
  const laws = createLaws(scenario);
  const played = play(scenario, laws);
  laws.ended(played);
  return played;
}

const RUNS = Number(process.env['RUNS'] ?? 500);
/** The same plans each time, so that a run says something of a change; with RUNS others are searched. */
const SEARCH = { numRuns: RUNS, ...(process.env['RUNS'] === undefined ? { seed: 26 } : {}) };

describe('whatever happens', () => {
  it('never fails open, never goes over a budget, a rate or a cap, and says why it waits', () => {
    const faults = anyFaults(['none', 'none', ...DEATHS, ...DELAYS]);
    fc.assert(
      fc.property(anyScenario({ isGood: false, faults }), (scenario) => {
        underLaws(scenario);
      }),
      SEARCH,
    );
  });

  it('takes the same course whatever restarts', () => {
    fc.assert(
      fc.property(anyScenario({ isGood: false, faults: anyFaults(DEATHS) }), (scenario) => {
        const { version: _, ...restarted } = play(scenario).rollout;
        const { version: __, ...undisturbed } = play({ ...scenario, faults: ['none'] }).rollout;
        expect(restarted).toEqual(undisturbed);
      }),
      SEARCH,
    );
  });
});

describe('while children keep reporting', () => {
  it('comes to its end', () => {
    const faults = anyFaults([...DEATHS, ...DELAYS]);
    fc.assert(
      fc.property(anyScenario({ isGood: true, faults }), (scenario) => {
        fc.pre(isPossible(scenario));
        const { rollout, fleet, waits } = underLaws(scenario);
        // Fewer may have it at once than must have it for a stage to end: then it says so, before anyone gets it in vain.
        const isTooNarrow = rollout.open.some(({ held }) => held?.startsWith('at most') === true);
        if (isTooNarrow) {
          expect(isNarrow(scenario)).toBe(true);
          return;
        }
        expect([rollout.state, waits]).toEqual(['completed', []]);
        const there = fleet.children.filter(({ script }) => script.joinsAt === 0);
        expect(there.filter(({ ended }) => ended !== 'Done')).toEqual([]);
      }),
      SEARCH,
    );
  });
});

/** Fewer may have it at once than there are children. */
const isNarrow = ({ plan, children }: Scenario): boolean =>
  [plan.rate.all, plan.rate.location].some(({ atOnce }) => atOnce !== null && atOnce < children.length);

/** Somebody is there, and no location has fewer children than must have passed a stage. */
function isPossible({ plan, children, homes }: Scenario): boolean {
  const there = children.filter(({ joinsAt }) => joinsAt === 0);
  const { minChildren } = plan.advance;
  if (there.length === 0) return false;
  if (minChildren === 1) return true;
  if (plan.locations.by === 'child') return false;
  if (plan.locations.by === 'all') return there.length >= minChildren;
  const isIn = (home: number, some: typeof children): number => some.filter((child) => child.home === home).length;
  return Array.from({ length: homes }, (_, home) => home).every(
    (home) => isIn(home, children) === 0 || isIn(home, there) >= minChildren,
  );
}
