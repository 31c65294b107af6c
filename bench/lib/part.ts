/** What a part of the benchmark is, and what it comes to. */
import { type Figure, figure, ratio } from './stats.ts';

/** One line of the table: a figure beside its baseline, both from the same run. */
export type Row = {
  part: string;
  what: string;
  unit: string;
  value: Figure;
  baseline: { what: string; value: Figure } | null;
  ratio: Figure | null;
  target: Target | null;
};

/** What is aimed at: of the ratio to the baseline, or (`bytes`) of the figure itself. */
export type Target = { atLeast: number } | { atMost: number } | { atMostBytes: number };

export type Context = {
  rounds: number;
  /** Length of a measurement in seconds. */
  seconds: number;
  /** Leaves out the sizes that take minutes. */
  quick: boolean;
  say(text: string): void;
};

export type Part = { name: string; about: string; run(context: Context): Promise<Row[]> };

/** Something to measure: each call is one round and gives one figure. */
export type Contender = () => Promise<number>;

/** Measures all of them once to warm up, then again and again in turn. */
export async function alternate<Name extends string>(
  rounds: number,
  contenders: Record<Name, Contender>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contenders) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (const name of names) await contenders[name]();
  for (let round = 0; round < rounds; round++) for (const name of names) values[name].push(await contenders[name]());
  return values;
}

type Compared = { part: string; what: string; unit: string; target?: Target | null };

export const compared = (
  { part, what, unit, target = null }: Compared,
  values: readonly number[],
  baseline: { what: string; values: readonly number[] },
): Row => ({
  part,
  what,
  unit,
  value: figure(values),
  baseline: { what: baseline.what, value: figure(baseline.values) },
  ratio: ratio(values, baseline.values),
  target,
});
