/** Whose success a stage needs: of those who were there at the opening of a location, and of those who came late. */
import { describe, expect, it } from 'vitest';
import { quorumOf } from '#domain/gates.ts';
import { rulesOf } from '#domain/plan.ts';
import { counted, type Fields, planWith } from '#test/harness/plan-tables.ts';

function holds(own: Fields, late: Fields, children: number, quorum = 1): boolean {
  const plan = rulesOf(planWith({ advance: { quorum } }));
  const { passed, needed } = quorumOf({ plan }, children, { counts: counted(own), late: counted(late) }, 0);
  return needed > 0 && passed >= needed;
}

describe('late joiners', () => {
  it.each<[string, Fields, boolean]>([
    ['one of three waits', { n: 3, 's0.2': 1, 's0.1': 2 }, false],
    ['all wait', { n: 3, 's0.2': 3 }, true],
    ['there is nobody', {}, false],
    ['one was taken out, the others wait', { n: 3, m4: 1, 's0.2': 2 }, true],
  ])('are all that counts where nobody was there at the opening: %s', (_, late, expected) => {
    expect(holds({}, late, 0)).toBe(expected);
  });

  it.each<[string, Fields, Fields, boolean]>([
    ['however many they are', { n: 10, 's0.2': 8 }, { n: 100, 's0.2': 100 }, false],
    ['enough of the others have passed', { n: 10, 's0.2': 9 }, { n: 100, 's0.2': 100 }, true],
    ['those who failed count against it', { n: 10, 's0.2': 9 }, { n: 100, 's0.5': 100 }, false],
    ['those at work hold nothing', { n: 10, 's0.2': 9 }, { n: 100, 's0.1': 100 }, true],
  ])('never make up for those who were there: %s', (_, own, late, expected) => {
    expect(holds(own, late, 10, 0.9)).toBe(expected);
  });
});
