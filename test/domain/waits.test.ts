/** Why a release waits: whoever looks at one that stands still is told, with numbers. */
import { describe, expect, it } from 'vitest';
import type { Rollout } from '#domain/rollout.ts';
import { waitsOf } from '#domain/waiting.ts';
import { located, NO_RATE, NOW, planWith, running, snapshotOf, started, viewOf } from '#test/harness/plan-tables.ts';

const PARTITIONS = { partitionsDone: 1, partitions: 8 };
const waits = (rollout: Rollout, snapshot: ReturnType<typeof snapshotOf>): string[] =>
  waitsOf(rollout, { ...snapshot, ...PARTITIONS }, NOW).map(
    ({ location, stage, for: text }) => `${location ?? '-'} ${stage ?? '-'}: ${text}`,
  );
const PLAN = planWith({});
const over = (more: Partial<Rollout> = {}): Rollout => ({ ...running(PLAN, []), ...more });

describe('what a release waits for', () => {
  it.each<[string, Rollout, ReturnType<typeof snapshotOf>, string[]]>([
    [
      'children in a stage',
      running(PLAN, [located('a', 1)]),
      snapshotOf({ a: viewOf({ n: 3, r2: 3, 's0.2': 1, 's0.1': 2 }) }),
      ['a Canary: 2 of 3 children'],
    ],
    [
      'those who failed and are looked past: too few of the others are Done',
      running(PLAN, [located('a', 1, { gates: [0, 2] })]),
      snapshotOf({ a: viewOf({ n: 3, r3: 2, r4: 1, d2: 2, 's0.4': 3, 's1.4': 3, 's2.4': 2, 's2.5': 1 }) }),
      ['a -: 1 more of 3 children to be Done (2 are, 1 failed)'],
    ],
    [
      'the same where all were Done with an earlier stage',
      running(PLAN, [located('a', 1, { gates: [0] })]),
      snapshotOf({ a: viewOf({ n: 3, r3: 2, r4: 1, d0: 2, 's0.4': 2, 's0.5': 1 }) }),
      ['a -: 1 more of 3 children to be Done (2 are, 1 failed)'],
    ],
    [
      'late joiners, where nobody else is',
      running(PLAN, [located('a', 1, { children: 0, members: 0 })]),
      snapshotOf({ a: viewOf({}, { lateCounts: { n: 2, r2: 2, 's0.1': 2 } }) }),
      ['a -: 2 children who joined late'],
    ],
    [
      'late joiners who are underway in locations that are through',
      over({ closed: { locations: 1, children: 3 } }),
      snapshotOf({}, { totals: { n: 5, r3: 3, r2: 2 } }),
      [
        '- -: 2 children who are underway in locations that are through (one that waits at a shut gate is let through by promote, by its id)',
      ],
    ],
    [
      'an operator, where every location was set aside',
      over({ aside: [{ id: 'a', n: 1, as: 'aborted', reason: 'x', children: 3, gates: [] }] }),
      snapshotOf({ a: viewOf({ n: 3, r2: 3 }) }),
      ['- -: an operator: every location was taken out of the course'],
    ],
    [
      'an operator, where every child was taken out',
      over({ closed: { locations: 1, children: 3 } }),
      snapshotOf({}, { totals: { n: 3, m4: 3 } }),
      ['- -: an operator: all of its children were taken out of it'],
    ],
    [
      'an operator, where all have failed and the budget let it pass',
      over({ closed: { locations: 3, children: 3 } }),
      snapshotOf({}, { totals: { n: 3, r4: 3 } }),
      ['- -: an operator: nobody is Done with it, 3 failed'],
    ],
    [
      'the same in an open location',
      running(PLAN, [located('a', 1)]),
      snapshotOf({ a: viewOf({ n: 3, m4: 3 }) }),
      ['a -: an operator: all of its children were taken out of it'],
    ],
    [
      'a rate',
      running(planWith({ rate: { all: { ...NO_RATE, perMinute: 90 }, location: NO_RATE } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ n: 2, r1: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at a rate of 90 children a minute'],
    ],
    [
      'the rate of a location, where that is slower',
      running(planWith({ rate: { all: { ...NO_RATE, perMinute: 90 }, location: { ...NO_RATE, perMinute: 6 } } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ n: 2, r1: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at a rate of 6 children a minute in a location'],
    ],
    [
      'room in a location',
      running(planWith({ rate: { all: NO_RATE, location: { ...NO_RATE, atOnce: 2 } } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ n: 2, r1: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at most 2 children at once in a location'],
    ],
    [
      'room for the next child',
      {
        ...started(
          planWith({ locations: { by: 'child' }, rate: { all: { ...NO_RATE, atOnce: 1 }, location: NO_RATE } }),
        ),
        closed: { locations: 1, children: 1 },
        started: { locations: 1, waves: 1 },
      },
      snapshotOf({}, { totals: { n: 1, r2: 1 }, next: [{ id: 'c2', members: null }] }),
      ['- -: the turn of the next location, at most 1 children at once'],
    ],
  ])('%s', (_, rollout, snapshot, expected) => {
    expect(waits(rollout, snapshot)).toEqual(expected);
  });

  it('is nothing where the next tick completes it', () => {
    expect(waits(over({ closed: { locations: 1, children: 3 } }), snapshotOf({}, { totals: { n: 3, r3: 3 } }))).toEqual(
      [],
    );
  });
});
