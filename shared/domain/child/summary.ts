/** A stage summary as a child measures it: times in milliseconds (-1 = no calls), error rates from 0 to 1. */
export type Times = { median: number; minimum: number; maximum: number };
export type StageSummary = { proxy: Times; f1: Times; f2: Times; f1ErrRate: number; f2ErrRate: number };

const timesOf = (t: Times): number[] => [t.median, t.minimum, t.maximum];

const LARGEST = 3.4e38;
const SHORTEST_DIGITS = 6;

/**
 * Packed into eleven numbers of single precision (seven digits), as a record in Redis keeps them: a summary per stage and
 * child is most of what a finished release leaves there. Packing what was unpacked gives the same text.
 */
export function packSummary(s: StageSummary): string {
  const numbers = [...timesOf(s.proxy), ...timesOf(s.f1), ...timesOf(s.f2), s.f1ErrRate, s.f2ErrRate];
  return packNumbers(numbers);
}

/** Each as the shortest decimal that has its value in single precision. */
export const packNumbers = (numbers: readonly number[]): string => numbers.map(shortest).join(',');

function shortest(n: number): string {
  const single = Math.fround(Math.max(-LARGEST, Math.min(LARGEST, n)));
  if (single === 0) return '0';
  const text = String(n);
  // What a child sends has few digits, as a rule.
  if (text.length <= SHORTEST_DIGITS + 1 && Math.fround(Number(text)) === single) return text;
  for (let digits = SHORTEST_DIGITS; ; digits++) {
    const rounded = Number(single.toPrecision(digits));
    if (Math.fround(rounded) === single) return String(rounded);
  }
}

export function unpackSummary(packed: string): StageSummary {
  const n = packed.split(',').map(Number);
  const at = (i: number): number => n[i] ?? -1;
  const times = (i: number): Times => ({ median: at(i), minimum: at(i + 1), maximum: at(i + 2) });
  return { proxy: times(0), f1: times(3), f2: times(6), f1ErrRate: at(9), f2ErrRate: at(10) };
}
