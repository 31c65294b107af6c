/** Figures of several rounds: the median is what counts, the spread says how far to trust it. */

export type Figure = { median: number; min: number; max: number };

export function figure(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
  return { median, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

/** Round by round, so that what slowed the machine down for a while slowed both. */
export const ratio = (values: readonly number[], baseline: readonly number[]): Figure =>
  figure(values.map((value, i) => value / (baseline[i] ?? NaN)));
