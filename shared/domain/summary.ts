/** A stage summary as a child measures it: times in milliseconds (-1 = no calls), error rates from 0 to 1. */
export type Times = { median: number; minimum: number; maximum: number };
export type StageSummary = { proxy: Times; f1: Times; f2: Times; f1ErrRate: number; f2ErrRate: number };

const timesOf = (t: Times): number[] => [t.median, t.minimum, t.maximum];

/** Packed into eleven numbers: a summary per stage and child is most of what a finished release leaves in Redis. */
export function packSummary(s: StageSummary): string {
  return [...timesOf(s.proxy), ...timesOf(s.f1), ...timesOf(s.f2), s.f1ErrRate, s.f2ErrRate].join(',');
}

export function unpackSummary(packed: string): StageSummary {
  const n = packed.split(',').map(Number);
  const at = (i: number): number => n[i] ?? -1;
  const times = (i: number): Times => ({ median: at(i), minimum: at(i + 1), maximum: at(i + 2) });
  return { proxy: times(0), f1: times(3), f2: times(6), f1ErrRate: at(9), f2ErrRate: at(10) };
}
