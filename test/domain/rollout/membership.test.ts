/** Where a child belongs, and what that lets it do: gates and offers in open locations, and in those that were left out. */
import { PRESETS } from '#domain/plan/presets.ts';
import { leaveOut, revertLocation } from '#domain/controls/controls.ts';
import { describe, expect, it } from 'vitest';
import { isGateOpen, isWithdrawn, membershipToken, offers, parseMembership } from '#domain/rollout/membership.ts';
import type { LocationRef, Rollout } from '#domain/rollout/rollout.ts';
import { located, NOW, PLAN, running } from '#test/harness/plans/tables.ts';

const sequential = running(PRESETS['location-sequential'], [located('kid', 1, { children: 1 })]);
const cohorts = running(PRESETS['all-at-once'], [located('wave-1', 1)]);
const regions = running(PLAN, [located('berlin', 1, { gates: [0] }), located('paris', 2)]);
const direct = running(PRESETS['global-incremental'], [located('all', 1)]);

const CASES: [string, Rollout, string, LocationRef][] = [
  ['a child that is a location', sequential, 'kid', { id: 'kid', n: 0 }],
  ['a wave of children', cohorts, 'wave-1', { id: 'wave-1', n: 1 }],
  ['a region', regions, 'berlin', { id: 'berlin', n: 1 }],
  ['everyone', direct, 'all', { id: 'any-child', n: 0 }],
];

describe('a location that was left out', () => {
  it.each(CASES)('offers nothing more, and opens nothing more: %s', (_, rollout, id, location) => {
    expect([offers(rollout, rollout.epoch, location), isWithdrawn(rollout, location)]).toEqual([true, false]);
    const out = leaveOut(rollout, id, { as: 'aborted', reason: 'no', isToCome: false }, NOW);
    expect([offers(out, out.epoch, location), isWithdrawn(out, location)]).toEqual([false, true]);
    const gates = rollout.open[0]?.gates ?? [];
    for (const stage of [0, 2]) expect(isGateOpen(out, location, stage, -1)).toBe(gates.includes(stage));
  });

  it.each(CASES)(
    'lets children pass that wait at a gate, where it is taken back so: %s',
    (_, rollout, id, location) => {
      expect(isGateOpen(revertLocation(rollout, id, { reason: 'bad', openGates: true }, NOW), location, 2, -1)).toBe(
        true,
      );
      expect(isGateOpen(revertLocation(rollout, id, { reason: 'bad', openGates: false }, NOW), location, 2, -1)).toBe(
        false,
      );
    },
  );

  it('leaves the others as they are', () => {
    const out = leaveOut(regions, 'berlin', { as: 'skipped', reason: 'no', isToCome: false }, NOW);
    expect(offers(out, out.epoch, { id: 'paris', n: 2 })).toBe(true);
  });

  it('changes nothing of how others are taken back', () => {
    expect(revertLocation(regions, 'berlin', { reason: 'bad', openGates: true }, NOW).plan.openGatesOnRevert).toBe(
      false,
    );
  });
});

describe('a membership', () => {
  it.each(['', 'all', '1/berlin', '+12/Bad Tölz 2', '3/wave-3'])('reads as it was written: "%s"', (token) => {
    const { id, n, late } = parseMembership(token, 'child');
    const plan = token === '' ? sequential.plan : token === 'all' ? direct.plan : regions.plan;
    expect(membershipToken({ id, n }, plan, late)).toBe(token);
  });
});
