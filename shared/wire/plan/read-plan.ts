/** Plans as users write them, in release.yml and at a start, turned into the domain's: every fault at once. */
import { DEFAULT_PLAN, PRESET_NAMES, type PresetName, PRESETS } from '#domain/plan/presets.ts';
import { z } from 'zod';
import { type Budget, type Plan, type Rate } from '#domain/plan/plan.ts';
import { type PlanFault, planFaults } from '#domain/plan/check.ts';
import type { Finding } from '#domain/strategy/strategy.ts';
import { renamedPlanKey } from '#wire/renamed.ts';
import { isWithin, pathParts, pathText } from '#wire/path.ts';
import { CUSTOM, type Limits, type PlanKeys, planKeys, presetName } from './plan-keys.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

export type ReadPlan = { plan: Plan | null; faults: Finding[] };

/** With its input an issue tells a key that is missing from one that is wrong. */
const WITH_INPUT = { reportInput: true };

/** What else is asked of a plan. */
type Check = (plan: Plan) => readonly Finding[];
const NOTHING_ELSE: Check = () => [];

/** The name of a preset, or a mapping. Paths are those in the plan: '' is the plan itself. */
export function readPlan(input: unknown, also: Check = NOTHING_ELSE): ReadPlan {
  if (typeof input === 'string') {
    const named = presetName.safeParse(input, WITH_INPUT);
    return named.success ? checked(PRESETS[named.data], also) : { plan: null, faults: findings(named.error.issues) };
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return { plan: null, faults: [{ path: '', message: 'is the name of a preset, or a mapping' }] };
  const given = planKeys.safeParse(input, WITH_INPUT);
  if (given.success) return checked(expand(given.data), also);
  const faults = findings(given.error.issues);
  return { plan: null, faults: [...faults, ...consequencesBeside(faults, input, also)] };
}

function checked(plan: Plan, also: Check): ReadPlan {
  const faults = consequences(plan, also).map(({ path, message }) => ({ path, message }));
  return { plan: faults.length === 0 ? plan : null, faults };
}

const consequences = (plan: Plan, also: Check): (Finding & Partial<PlanFault>)[] => [
  ...planFaults(plan),
  ...also(plan).map(({ path, message }) => ({ path, message })),
];

/** A plan in a request, as it was given: `readPlan` tells all that is wrong with it, so anything is let through. */
export const planRequest = z.union([
  z.unknown().meta({ description: 'A plan with faults is refused, with all of them and where they are' }),
  presetName,
  planKeys,
]);

/** A finding in a plan, for a document that holds it under `plan`. */
export const underPlan = <F extends Finding>(found: F): F => ({
  ...found,
  path: found.path === '' ? 'plan' : `plan.${found.path}`,
});

const isPreset = (name: string): name is PresetName => (PRESET_NAMES as readonly string[]).includes(name);

function expand(given: PlanKeys): Plan {
  const { name = CUSTOM, advance = {}, failure = {}, rate = {} } = given;
  const base: Plan = PRESETS[isPreset(name) ? name : DEFAULT_PLAN];
  return {
    name,
    target: given.target ?? base.target,
    locations: given.locations ?? base.locations,
    order: given.order ?? base.order,
    waves: given.waves ?? base.waves,
    waveSoakMs: given.wave_soak ?? base.waveSoakMs,
    stages: given.stages ?? base.stages,
    advance: {
      quorum: advance.quorum ?? base.advance.quorum,
      minChildren: advance.min_children ?? base.advance.minChildren,
      soakMs: advance.soak ?? base.advance.soakMs,
      metrics: or(advance.metrics, base.advance.metrics),
      approval: {
        stages: advance.approval?.stages ?? base.advance.approval.stages,
        waves: advance.approval?.waves ?? base.advance.approval.waves,
      },
    },
    failure: {
      location: budgetOf(failure.location, base.failure.location),
      all: budgetOf(failure.all, base.failure.all),
    },
    lostAfterMs: or(given.lost_after, base.lostAfterMs),
    deadline: or(given.stage_deadline, base.deadline),
    lateJoiners: given.late_joiners ?? base.lateJoiners,
    rate: { all: rateOf(rate, base.rate.all), location: rateOf(rate.per_location ?? {}, base.rate.location) },
    priority: given.priority ?? base.priority,
    conflicts: given.conflicts ?? base.conflicts,
    openGatesOnRevert: given.open_gates_on_revert ?? base.openGatesOnRevert,
    compensates: null,
  };
}

/** Null is a value that can be given: none, or never. */
const or = <T>(given: T | undefined, preset: T): T => (given === undefined ? preset : given);

/** What a budget is where only a part of it is given. */
const NO_FAILURES: Budget = { count: 0, share: 0, then: 'hold' };

type GivenBudget = NonNullable<PlanKeys['failure']>['all'];

function budgetOf(given: GivenBudget, preset: Budget | null): Budget | null {
  if (given === undefined) return preset;
  if (given === null) return null;
  const base = preset ?? NO_FAILURES;
  return { count: given.count ?? base.count, share: given.share ?? base.share, then: given.then ?? base.then };
}

const rateOf = (given: Limits, preset: Rate): Rate => ({
  perMinute: given.per_minute ?? preset.perMinute,
  growth: given.growth ?? preset.growth,
  atOnce: given.at_once ?? preset.atOnce,
  bytesPerSecond: given.bytes_per_second ?? preset.bytesPerSecond,
});

const findings = (issues: readonly Issue[], at: Path = []): Finding[] => issues.flatMap((issue) => finding(issue, at));

function finding(issue: Issue, at: Path): Finding[] {
  const path = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const renamed = renamedPlanKey(key);
      return { path: pathText([...path, key]), message: renamed === null ? issue.message : `is called ${renamed} now` };
    });
  if (issue.code === 'invalid_union') {
    const meant = issue.errors.filter(isMeant);
    if (meant.length === 1 && meant[0] !== undefined) return findings(meant[0], path);
  }
  const isMissing = issue.input === undefined && issue.code !== 'custom';
  return [{ path: pathText(path), message: isMissing ? 'is missing' : issue.message }];
}

/** Whether one of several forms is the one meant, and only something in it is wrong: it has all the keys of that form. */
const isMeant = (issues: readonly Issue[]): boolean =>
  issues.every(
    ({ code, path, input }) =>
      code === 'unrecognized_keys' || path.length > 1 || (path.length === 1 && input !== undefined),
  );

/** Where keys are merged with the preset's one by one: each stands or falls alone. */
const MERGED = new Set(['', 'advance', 'failure', 'rate', 'rate.per_location']);

/**
 * The faults among what has the right shape. What has a wrong one is left out, and so is all that is drawn from it; where
 * the preset's name is wrong, from all that isn't given.
 */
function consequencesBeside(faults: readonly Finding[], input: object, also: Check): Finding[] {
  const broken = new Set(faults.map(({ path }) => keyOf(path)));
  const given = without(input, broken);
  const rest = planKeys.safeParse(given);
  if (!rest.success) return [];
  const isKnown = (path: string): boolean =>
    ![...broken].some((key) => isWithin(path, key) || isWithin(key, path)) && (!broken.has('name') || has(given, path));
  return consequences(expand(rest.data), also)
    .filter(({ path, from = [] }) => [path, ...from].every(isKnown))
    .map(({ path, message }) => ({ path, message }));
}

/** The key whose value a path leads into. */
function keyOf(path: string): string {
  let key = '';
  for (const part of pathParts(path)) {
    if (!MERGED.has(key)) break;
    key = key === '' ? String(part) : `${key}.${part}`;
  }
  return key;
}

function without(value: unknown, keys: ReadonlySet<string>, at = ''): unknown {
  if (!MERGED.has(at) || typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).flatMap(([key, content]) => {
    const path = at === '' ? key : `${at}.${key}`;
    return keys.has(path) ? [] : [[key, without(content, keys, path)] as const];
  });
  return Object.fromEntries(kept);
}

function has(value: unknown, path: string): boolean {
  let found = value;
  for (const part of pathParts(path)) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, part)) return false;
    found = (found as Record<string | number, unknown>)[part];
  }
  return true;
}
