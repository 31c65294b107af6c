/** Whose success a stage needs: of the children that were there at the opening of a location, and of those that came late. */
import { counts, type CountsTable } from '#test/harness/plans/counts.ts';
import { describe, expect, it } from 'vitest';
import { quorumOf } from '#domain/scheduling/gates.ts';
import { rulesOf } from '#domain/plan/plan.ts';
import { planWith } from '#test/harness/plans/tables.ts';

function holds(own: CountsTable, late: CountsTable, children: number, quorum = 1): boolean {
  const plan = rulesOf(planWith({ advance: { quorum } }));
  const { passed, needed } = quorumOf({ plan }, children, { counts: counts(own), late: counts(late) }, 0);
  return needed > 0 && passed >= needed;
}

describe('late joiners', () => {
  it.each<[string, CountsTable, boolean]>([
    ['one of three waits', { enrolled: 3, waiting: { Canary: 1 }, inProgress: { Canary: 2 } }, false],
    ['all wait', { enrolled: 3, waiting: { Canary: 3 } }, true],
    ['there is nobody', {}, false],
    ['one was ejected, the others wait', { enrolled: 3, ejected: 1, waiting: { Canary: 2 } }, true],
  ])('are all that counts where nobody was there at the opening: %s', (_, late, expected) => {
    expect(holds({}, late, 0)).toBe(expected);
  });

  it.each<[string, CountsTable, CountsTable, boolean]>([
    [
      'however many they are',
      { enrolled: 10, waiting: { Canary: 8 } },
      { enrolled: 100, waiting: { Canary: 100 } },
      false,
    ],
    [
      'enough of the others have passed',
      { enrolled: 10, waiting: { Canary: 9 } },
      { enrolled: 100, waiting: { Canary: 100 } },
      true,
    ],
    [
      'those that failed count against it',
      { enrolled: 10, waiting: { Canary: 9 } },
      { enrolled: 100, failure: { Canary: 100 } },
      false,
    ],
    [
      'those at work hold nothing',
      { enrolled: 10, waiting: { Canary: 9 } },
      { enrolled: 100, inProgress: { Canary: 100 } },
      true,
    ],
  ])('never make up for those who were there: %s', (_, own, late, expected) => {
    expect(holds(own, late, 10, 0.9)).toBe(expected);
  });
});
