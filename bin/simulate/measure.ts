/** What a simulated child measures in a stage, and how it judges it. */
import type { Random } from './random.ts';
import type { SimStage } from './strategy.ts';

export type Profile = {
  /** Median response times in ms of the two versions. */
  f1Ms: number;
  f2Ms: number;
  /** Error rates of the two versions, 0 to 1. */
  f1Errors: number;
  f2Errors: number;
  callsPerSecond: number;
};

type Times = { median: number; minimum: number; maximum: number };
type Sample = { times: Times; errRate: number };
export type Summary = {
  proxy_times: Times;
  f1_times_summary: Times;
  f2_times_summary: Times;
  f1_err_rate: number;
  f2_err_rate: number;
};

const NO_CALLS: Sample = { times: { median: -1, minimum: -1, maximum: -1 }, errRate: 0 };
const PROXY_MS = 0.4;

function sample(random: Random, calls: number, median: number, errors: number): Sample {
  if (calls === 0) return NO_CALLS;
  const middle = random.around(median, 0.05);
  const times = {
    median: middle,
    minimum: middle * (0.6 + 0.2 * random.next()),
    maximum: middle * (1.5 + 2 * random.next()),
  };
  return { times, errRate: random.hits(calls, errors) / calls };
}

/** `least`: calls without which the stage wouldn't have come so far. */
type Course = { seconds: number; random: Random; least?: number };

export function measure(
  stage: SimStage,
  profile: Profile,
  { seconds, random, least = stage.minCalls }: Course,
): Summary {
  const calls = Math.max(Math.round(profile.callsPerSecond * seconds), least);
  const newCalls = Math.round(calls * stage.newShare);
  const f1 = sample(random, calls - newCalls, profile.f1Ms, profile.f1Errors);
  const f2 = sample(random, newCalls, profile.f2Ms, profile.f2Errors);
  const add = (ms: number): number => (ms < 0 ? ms : ms + PROXY_MS);
  const base = calls - newCalls > 0 ? f1.times : f2.times;
  return {
    proxy_times: { median: add(base.median), minimum: add(base.minimum), maximum: add(base.maximum) },
    f1_times_summary: f1.times,
    f2_times_summary: f2.times,
    f1_err_rate: f1.errRate,
    f2_err_rate: f2.errRate,
  };
}

const COMPARE: Record<string, (value: number, limit: number) => boolean> = {
  '<': (value, limit) => value < limit,
  '<=': (value, limit) => value <= limit,
  '>': (value, limit) => value > limit,
  '>=': (value, limit) => value >= limit,
  '=': (value, limit) => value === limit,
};

/** All conditions must hold, on the new version. No calls let every condition pass, as they do in the agent. */
export function succeeds(stage: SimStage, summary: Summary): boolean {
  return stage.conditions.every(({ name, operator, limit, compareWith }) => {
    const times = summary.f2_times_summary;
    const value =
      name === 'errorRate'
        ? summary.f2_err_rate
        : { Minimum: times.minimum, Median: times.median, Maximum: times.maximum }[compareWith];
    return times.median < 0 || (COMPARE[operator]?.(value, limit) ?? false);
  });
}
