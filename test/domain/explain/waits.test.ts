/** Why a release waits: whoever reads of one that stands still is told, with numbers. */
import { describe, expect, it } from 'vitest';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { waitsOf } from '#domain/explain/release-waits.ts';
import { located, NO_RATE, NOW, planWith, running, snapshotOf, started, viewOf } from '#test/harness/plans/tables.ts';

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
      snapshotOf({ a: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 1 }, inProgress: { Canary: 2 } }) }),
      ['a Canary: 2 of 3 children'],
    ],
    [
      'children that failed and are looked past: too few of the others are Done',
      running(PLAN, [located('a', 1, { gates: [0, 2] })]),
      snapshotOf({
        a: viewOf({
          enrolled: 3,
          done: 2,
          failed: 1,
          doneWith: { Gradual: 2 },
          completed: { Canary: 3, Test: 3, Gradual: 2 },
          failure: { Gradual: 1 },
        }),
      }),
      ['a -: 1 more of 3 children to be Done (2 are, 1 failed)'],
    ],
    [
      'the same where all were Done with an earlier stage',
      running(PLAN, [located('a', 1, { gates: [0] })]),
      snapshotOf({
        a: viewOf({
          enrolled: 3,
          done: 2,
          failed: 1,
          doneWith: { Canary: 2 },
          completed: { Canary: 2 },
          failure: { Canary: 1 },
        }),
      }),
      ['a -: 1 more of 3 children to be Done (2 are, 1 failed)'],
    ],
    [
      'late joiners, where nobody else is',
      running(PLAN, [located('a', 1, { children: 0, members: 0 })]),
      snapshotOf({ a: viewOf({}, { late: { enrolled: 2, doing: 2, inProgress: { Canary: 2 } } }) }),
      ['a -: 2 children that joined late'],
    ],
    [
      'late joiners that are underway in locations that have completed',
      over({ completed: { locations: 1, children: 3 } }),
      snapshotOf({}, { totals: { enrolled: 5, done: 3, doing: 2 } }),
      ['- -: 2 children that are underway in completed locations (promote --child lets one pass a closed gate)'],
    ],
    [
      'an operator, where every location was withdrawn',
      over({ withdrawn: [{ id: 'a', n: 1, as: 'aborted', reason: 'x', children: 3, gates: [] }] }),
      snapshotOf({ a: viewOf({ enrolled: 3, doing: 3 }) }),
      ['- -: an operator: every location was withdrawn'],
    ],
    [
      'an operator, where every child was ejected',
      over({ completed: { locations: 1, children: 3 } }),
      snapshotOf({}, { totals: { enrolled: 3, ejected: 3 } }),
      ['- -: an operator: all of its children were ejected'],
    ],
    [
      'an operator, where all have failed and the budget let it pass',
      over({ completed: { locations: 3, children: 3 } }),
      snapshotOf({}, { totals: { enrolled: 3, failed: 3 } }),
      ['- -: an operator: no child is Done with it, 3 failed'],
    ],
    [
      'the same in an open location',
      running(PLAN, [located('a', 1)]),
      snapshotOf({ a: viewOf({ enrolled: 3, ejected: 3 }) }),
      ['a -: an operator: all of its children were ejected'],
    ],
    [
      'a rate',
      running(planWith({ rate: { all: { ...NO_RATE, perMinute: 90 }, location: NO_RATE } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ enrolled: 2, todo: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at a rate of 90 children a minute'],
    ],
    [
      'the rate of a location, where that is slower',
      running(planWith({ rate: { all: { ...NO_RATE, perMinute: 90 }, location: { ...NO_RATE, perMinute: 6 } } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ enrolled: 2, todo: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at a rate of 6 children a minute in a location'],
    ],
    [
      'room in a location',
      running(planWith({ rate: { all: NO_RATE, location: { ...NO_RATE, atOnce: 2 } } }), [
        located('a', 1, { children: null }),
      ]),
      snapshotOf({ a: viewOf({ enrolled: 2, todo: 2 }, { left: 1 }) }),
      ['a -: enrolment: 2 enrolled, 1 to come, at most 2 children at once in a location'],
    ],
    [
      'room for the next child',
      {
        ...started(
          planWith({ locations: { by: 'child' }, rate: { all: { ...NO_RATE, atOnce: 1 }, location: NO_RATE } }),
        ),
        completed: { locations: 1, children: 1 },
        started: { locations: 1, waves: 1 },
      },
      snapshotOf({}, { totals: { enrolled: 1, doing: 1 }, next: [{ id: 'c2', members: null }] }),
      ['- -: the turn of the next location, at most 1 children at once'],
    ],
  ])('%s', (_, rollout, snapshot, expected) => {
    expect(waits(rollout, snapshot)).toEqual(expected);
  });

  it('is nothing where the next tick completes it', () => {
    expect(
      waits(over({ completed: { locations: 1, children: 3 } }), snapshotOf({}, { totals: { enrolled: 3, done: 3 } })),
    ).toEqual([]);
  });
});
