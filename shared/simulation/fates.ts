/**
 * What becomes of children, decided for many at once: a mix says how many of a cohort have which fate. Children with the
 * same fate are told apart by nothing, so a million of them are a few numbers.
 */
import { portion } from './chance.ts';

/** A share of all children, and what is different in single locations. From 0 to 1. */
export type Share = { all: number; locations?: Readonly<Record<string, number>> };

export type Behaviour = {
  /** A child asks for a release so often. */
  pollMs: number;
  /** A child that waits for the end of a stage asks for it so often. */
  askMs: number;
  /** A stage takes its minimum up to so much of it more (a share). */
  jitter: number;
  /** Children that report Failure in one of the stages, any of them with the same probability. */
  fail: Share;
  /** Children that fall silent in one of the stages. */
  lost: Share;
  /** Children for whom every stage takes `slowFactor` times as long. */
  slow: Share;
  slowFactor: number;
  /** A child that fell silent is back after so long, and has passed the stage; null: never. */
  returnsAfterMs: number | null;
};

/** Nobody fails, nobody waits for a poll, and a stage takes its minimum. */
export const IDEAL: Behaviour = {
  pollMs: 0,
  askMs: 0,
  jitter: 0,
  fail: { all: 0 },
  lost: { all: 0 },
  slow: { all: 0 },
  slowFactor: 1,
  returnsAfterMs: null,
};

/** Children by fate; see the indices below. */
export type Mix = number[];

const STEADY = 0;
const SLOW = 1;
const failsIn = (stage: number): number => 2 + 2 * stage;
const lostIn = (stage: number): number => 3 + 2 * stage;

export const sizeOf = (mix: Mix): number => mix.reduce((sum, n) => sum + n, 0);

export const shareIn = ({ all, locations }: Share, location: string): number => locations?.[location] ?? all;

/** The fates of `n` children of a location. */
export function mixOf(
  n: number,
  location: string,
  { fail, lost, slow }: Behaviour,
  { stages, random }: { stages: number; random: () => number },
): Mix {
  const mix: Mix = Array.from({ length: 2 + 2 * stages }, () => 0);
  const fails = portion(n, shareIn(fail, location), random);
  const silent = Math.min(portion(n, shareIn(lost, location), random), n - fails);
  const slows = portion(n - fails - silent, shareIn(slow, location), random);
  mix[STEADY] = n - fails - silent - slows;
  mix[SLOW] = slows;
  overStages(fails, stages, random, (stage, count) => (mix[failsIn(stage)] = count));
  overStages(silent, stages, random, (stage, count) => (mix[lostIn(stage)] = count));
  return mix;
}

function overStages(
  n: number,
  stages: number,
  random: () => number,
  set: (stage: number, count: number) => void,
): void {
  if (n === 0 || stages === 0) return;
  const rest = n % stages;
  const from = Math.floor(random() * stages);
  for (let stage = 0; stage < stages; stage++)
    set(stage, Math.floor(n / stages) + ((stage - from + stages) % stages < rest ? 1 : 0));
}

export function addMix(to: Mix, more: Mix): void {
  for (let i = 0; i < more.length; i++) to[i] = (to[i] ?? 0) + (more[i] ?? 0);
}

/** Cut into slices of about the same size, each with about the same fates. */
export function sliced(mix: Mix, slices: number, random: () => number): Mix[] {
  if (slices <= 1) return [mix];
  const parts = Array.from({ length: slices }, (): Mix => mix.map((n) => Math.floor(n / slices)));
  let at = Math.floor(random() * slices);
  mix.forEach((n, fate) => {
    for (let rest = n % slices; rest > 0; rest--) {
      const part = parts[at];
      if (part !== undefined) part[fate] = (part[fate] ?? 0) + 1;
      at = (at + 1) % slices;
    }
  });
  return parts.filter((part) => sizeOf(part) > 0);
}

/** Children who enter a stage, by what they will do in it. */
export function inStageBy(mix: Mix, stage: number): { steady: Mix; slow: Mix; silent: Mix } {
  const steady = [...mix];
  const silent: Mix = mix.map(() => 0);
  const slow: Mix = mix.map(() => 0);
  slow[SLOW] = mix[SLOW] ?? 0;
  silent[lostIn(stage)] = mix[lostIn(stage)] ?? 0;
  steady[SLOW] = 0;
  steady[lostIn(stage)] = 0;
  return { steady, slow, silent };
}

/** Takes out the children that fail in the stage. */
export function withoutFailing(mix: Mix, stage: number): { failing: Mix; rest: Mix } {
  const failing: Mix = mix.map(() => 0);
  failing[failsIn(stage)] = mix[failsIn(stage)] ?? 0;
  const rest = [...mix];
  rest[failsIn(stage)] = 0;
  return { failing, rest };
}
