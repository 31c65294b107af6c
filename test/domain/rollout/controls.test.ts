/** Every control in every state: done, done already, or refused with the reason. */
import { PRESETS } from '#domain/plan/presets.ts';
import { promote } from '#domain/controls/promote.ts';
import { type Control, CONTROL_TABLE, CONTROLS, isToDo, NotPossible } from '#domain/controls/table.ts';
import { abort, leaveOut, pause, resume, resumeLocation, revert, revertLocation } from '#domain/controls/controls.ts';
import { describe, expect, it } from 'vitest';
import { type Plan } from '#domain/plan/plan.ts';
import {
  canBecome,
  publishedRollout,
  type Rollout,
  ROLLOUT_STATES,
  type RolloutStateName,
  startRollout,
} from '#domain/rollout/rollout.ts';
import { located, NOW, snapshotOf, STAGES, viewOf } from '#test/harness/plans/tables.ts';

const PLAN: Plan = { ...PRESETS.waves, locations: { by: 'grid', cellKm: 50 } };

function rolloutIn(state: RolloutStateName, plan: Plan = PLAN): Rollout {
  const published = publishedRollout({ release: '21', shortId: '1', stages: STAGES, plan });
  if (state === 'published') return published;
  const started = startRollout(published, plan, NOW, NOW - 1000);
  return {
    ...started,
    state,
    effects: [],
    order: { locations: 4, children: 12, outside: 0 },
    started: { locations: 2, waves: 1 },
    open: [located('berlin', 1, { held: '2 failed' }), located('paris', 2)],
  };
}

const SNAPSHOT = snapshotOf(
  {
    berlin: viewOf({ enrolled: 3, doing: 1, failed: 2 }),
    paris: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 } }),
  },
  { totals: { enrolled: 6, failed: 2 } },
);

const BACK = { reason: 'back', openGates: false };

/** What each control comes to, by the functions that the API calls. */
const RUN: Record<Control, (rollout: Rollout) => Rollout> = {
  start: (rollout) => (isToDo('start', rollout) ? startRollout(rollout, PLAN, NOW, NOW) : rollout),
  pause: (rollout) => pause(rollout, null),
  resume: (rollout) => resume(rollout, SNAPSHOT, NOW),
  'resume-location': (rollout) => resumeLocation(rollout, 'berlin', SNAPSHOT, NOW),
  promote: (rollout) => promote(rollout, { stage: 'Canary', location: 'paris', now: true }, SNAPSHOT, NOW),
  abort: (rollout) => abort(rollout, 'no', NOW),
  'abort-location': (rollout) => leaveOut(rollout, 'berlin', { as: 'aborted', reason: 'no', isToCome: false }, NOW),
  retry: (rollout) => (isToDo('retry', rollout) ? { ...rollout } : rollout),
  skip: (rollout) => leaveOut(rollout, 'rome', { as: 'skipped', reason: 'no', isToCome: true }, NOW),
  eject: (rollout) => (isToDo('eject', rollout) ? { ...rollout } : rollout),
  revert: (rollout) => revert(rollout, BACK, NOW),
  'revert-location': (rollout) => revertLocation(rollout, 'berlin', BACK, NOW),
};

/** The whole table: d done, s the same already, - refused. In the order of ROLLOUT_STATES. */
const EXPECTED: Record<Control, string> = {
  //              published running paused halted aborted reverting reverted completed
  start: 'ds------',
  pause: '-ds-----',
  resume: '-sdd----',
  'resume-location': '-ddd----',
  promote: '-d------',
  abort: 'dddds---',
  'abort-location': '-ddd----',
  retry: '-ddd----',
  skip: '-ddd----',
  eject: '-ddd----',
  revert: '-ddddssd',
  'revert-location': '-dddd--d',
};

const CASES = CONTROLS.flatMap((control) =>
  ROLLOUT_STATES.map((state, i) => [control, state, EXPECTED[control][i] ?? '?'] as const),
);

describe('a control', () => {
  it('has a word for every state', () => {
    for (const control of CONTROLS)
      expect(Object.keys(CONTROL_TABLE[control]).sort()).toEqual([...ROLLOUT_STATES].sort());
  });

  it.each(CASES)('%s in state %s: %s', (control, state, verdict) => {
    const before = rolloutIn(state);
    if (verdict === '-') {
      expect(() => RUN[control](before)).toThrow(NotPossible);
      return;
    }
    const after = RUN[control](before);
    if (verdict === 's') expect(after).toBe(before);
    else {
      expect(after).not.toBe(before);
      // Where the state changes, the rollout's own table allows it.
      if (after.state !== before.state) expect(canBecome(before.state, after.state)).toBe(true);
    }
  });

  const idempotent = CASES.filter(
    ([control, , verdict]) => verdict === 'd' && control !== 'retry' && control !== 'eject',
  );
  it.each(idempotent)('%s in state %s changes nothing more when it is said again', (control, state) => {
    const once = RUN[control](rolloutIn(state));
    expect(RUN[control](once)).toBe(once);
  });
});

describe('resume', () => {
  it('after a halt looks past the failures so far', () => {
    expect(resume(rolloutIn('halted'), SNAPSHOT, NOW)).toMatchObject({
      state: 'running',
      forgiven: 2,
      reason: null,
      endedAt: null,
    });
  });

  it('after a pause forgives nothing', () => {
    expect(resume(rolloutIn('paused'), SNAPSHOT, NOW)).toMatchObject({ state: 'running', forgiven: 0 });
  });

  it('of a held location gives its stages their time again', () => {
    const before = rolloutIn('running');
    const held = { ...before, open: before.open.map((each) => ({ ...each, enteredAt: { 0: 5 } })) };
    const [berlin] = resumeLocation(held, 'berlin', SNAPSHOT, NOW).open;
    expect(berlin).toMatchObject({ forgiven: { used: 2, overdue: 0 }, enteredAt: { 0: NOW } });
    expect(berlin?.held).toBeUndefined();
  });

  it('of a location that is not open is refused', () => {
    expect(() => resumeLocation(rolloutIn('running'), 'rome', SNAPSHOT, NOW)).toThrow(/rome is not open now/);
  });
});

describe('promote', () => {
  const approving = (stages: 'all' | string[], waves = false): Plan => ({
    ...PLAN,
    advance: { ...PLAN.advance, approval: { stages, waves } },
  });

  it('approves the stages that wait for nothing else', () => {
    const after = promote(rolloutIn('running', approving('all')), {}, SNAPSHOT, NOW);
    expect(after.open.map(({ id, approved }) => [id, approved])).toEqual([
      ['berlin', undefined],
      ['paris', [0]],
    ]);
  });

  it('approves a stage by name in advance', () => {
    const after = promote(
      rolloutIn('running', approving(['Gradual'])),
      { stage: 'Gradual', location: 'paris' },
      SNAPSHOT,
      NOW,
    );
    expect(after.open[1]?.approved).toEqual([2]);
  });

  it('refuses a stage that needs no approval, a stage without a gate, and a stage to end now that has no name', () => {
    const rollout = rolloutIn('running', approving(['Gradual']));
    expect(() => promote(rollout, { stage: 'Canary' }, SNAPSHOT, NOW)).toThrow(/needs no approval/);
    expect(() => promote(rollout, { stage: 'Test', now: true }, SNAPSHOT, NOW)).toThrow(/WaitForSignal/);
    expect(() => promote(rollout, { now: true }, SNAPSHOT, NOW)).toThrow(/name the stage that is to end now/);
  });

  it('ends a stage now for a location, but not while it is being enrolled', () => {
    const rollout = rolloutIn('running');
    const after = promote(rollout, { stage: 'Canary', location: 'paris', now: true }, SNAPSHOT, NOW);
    expect(after.open.map(({ gates }) => gates)).toEqual([[], [0]]);
    const enrolling = { ...rollout, open: [located('paris', 2, { children: null })] };
    expect(() => promote(enrolling, { stage: 'Canary', now: true }, SNAPSHOT, NOW)).toThrow(/still being enrolled/);
  });

  it('approves the next wave once', () => {
    const rollout = { ...rolloutIn('running', approving([], true)), open: [] };
    const after = promote(rollout, { wave: true }, SNAPSHOT, NOW);
    expect(after.approvedWaves).toBe(1);
    expect(promote(after, { wave: true }, SNAPSHOT, NOW)).toBe(after);
    expect(promote(rollout, {}, SNAPSHOT, NOW).approvedWaves).toBe(1);
    expect(() => promote(rolloutIn('running'), { wave: true }, SNAPSHOT, NOW)).toThrow(/no approval of waves/);
  });
});

describe('a location', () => {
  it('that is open is withdrawn, and one that is to come is passed over', () => {
    const rollout = rolloutIn('running');
    const skipped = (id: string, isToCome: boolean) =>
      leaveOut(rollout, id, { as: 'skipped', reason: 'flood', isToCome }, NOW);
    expect(skipped('berlin', false)).toMatchObject({
      open: [{ id: 'paris' }],
      withdrawn: [{ id: 'berlin', as: 'skipped', reason: 'flood', children: 3 }],
    });
    expect(skipped('rome', true)).toMatchObject({ skip: ['rome'], withdrawn: [] });
    expect(() => skipped('oslo', false)).toThrow(/has completed, or the plan has no such location/);
  });

  it('that was aborted can still be taken back', () => {
    const aborting = { as: 'aborted', reason: 'no', isToCome: false } as const;
    const aborted = leaveOut(rolloutIn('running'), 'berlin', aborting, NOW);
    const back = revertLocation(aborted, 'berlin', BACK, NOW);
    expect(back).toMatchObject({
      withdrawn: [{ as: 'reverting' }],
      effects: [{ kind: 'compensate', location: 'berlin' }],
    });
    expect(revertLocation(back, 'berlin', BACK, NOW)).toBe(back);
  });

  it('that is taken back with open gates lets children pass that wait at one', () => {
    const back = revertLocation(rolloutIn('running'), 'paris', { ...BACK, openGates: true }, NOW);
    expect(back.withdrawn).toMatchObject([{ id: 'paris', gates: [0, 2] }]);
    expect(revertLocation(rolloutIn('running'), 'paris', BACK, NOW).withdrawn).toMatchObject([{ gates: [] }]);
  });
});
