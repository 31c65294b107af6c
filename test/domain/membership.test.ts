/** Where a child belongs, and what that lets it do: gates and offers in open locations, and in those that were left out. */
import { describe, expect, it } from 'vitest';
import { leaveOut, revertLocation } from '#domain/controls.ts';
import { gatePassed, isWithdrawn, membershipToken, offers, parseMembership } from '#domain/membership.ts';
import { PRESETS } from '#domain/plan.ts';
import type { Rollout } from '#domain/rollout.ts';
import { located, NOW, PLAN, running } from '#test/harness/plan-tables.ts';

const sequential = running(PRESETS['location-sequential'], [located('kid', 1, { children: 1 })]);
const cohorts = running(PRESETS['all-at-once'], [located('wave-1', 1)]);
const regions = running(PLAN, [located('berlin', 1, { gates: [0] }), located('paris', 2)]);
const direct = running(PRESETS['global-incremental'], [located('all', 1)]);

const CASES: [string, Rollout, string, { id: string; n: number }][] = [
  ['a child that is a location', sequential, 'kid', { id: 'kid', n: 0 }],
  ['a wave of children', cohorts, 'wave-1', { id: 'wave-1', n: 1 }],
  ['a region', regions, 'berlin', { id: 'berlin', n: 1 }],
  ['everyone', direct, 'all', { id: 'any-child', n: 0 }],
];

describe('a location that was left out', () => {
  it.each(CASES)('offers nothing more, and opens nothing more: %s', (_, rollout, id, place) => {
    expect([offers(rollout, rollout.epoch, place), isWithdrawn(rollout, place)]).toEqual([true, false]);
    const out = leaveOut(rollout, id, 'aborted', 'no', false, NOW);
    expect([offers(out, out.epoch, place), isWithdrawn(out, place)]).toEqual([false, true]);
    const gates = rollout.open[0]?.gates ?? [];
    for (const stage of [0, 2]) expect(gatePassed(out, place, stage, -1)).toBe(gates.includes(stage));
  });

  it.each(CASES)('lets those through who are held, where it is taken back so: %s', (_, rollout, id, place) => {
    expect(gatePassed(revertLocation(rollout, id, 'bad', NOW, true), place, 2, -1)).toBe(true);
    expect(gatePassed(revertLocation(rollout, id, 'bad', NOW, false), place, 2, -1)).toBe(false);
  });

  it('leaves the others as they are', () => {
    const out = leaveOut(regions, 'berlin', 'skipped', 'no', false, NOW);
    expect(offers(out, out.epoch, { id: 'paris', n: 2 })).toBe(true);
  });

  it('changes nothing of how others are taken back', () => {
    expect(revertLocation(regions, 'berlin', 'bad', NOW, true).plan.releaseHeld).toBe(false);
  });
});

describe('a membership', () => {
  it.each(['', 'all', '1/berlin', '+12/Bad Tölz 2', '3/wave-3'])('reads as it was written: "%s"', (token) => {
    const { id, n, late } = parseMembership(token, 'child');
    const plan = token === '' ? sequential.plan : token === 'all' ? direct.plan : regions.plan;
    expect(membershipToken({ id, n }, plan, late)).toBe(token);
  });
});
