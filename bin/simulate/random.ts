/** Repeatable chance: the same seed gives the same fleet, with the same latencies and errors. */
import { seededRandom } from '#simulation/chance.ts';

export type Random = {
  /** From 0 to 1. */
  next(): number;
  /** A log-normal sample around a median: what response times look like. */
  around(median: number, spread: number): number;
  /** How many of `n` tries succeed at a probability; exact for small n, normal for large. */
  hits(n: number, probability: number): number;
};

export function createRandom(seed: number): Random {
  const next = seededRandom(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return {
    next,
    around: (median, spread) => median * Math.exp(spread * normal()),
    hits(n, probability) {
      if (n > 100) {
        const mean = n * probability;
        return Math.min(n, Math.max(0, Math.round(mean + normal() * Math.sqrt(mean * (1 - probability)))));
      }
      let count = 0;
      for (let i = 0; i < n; i++) if (next() < probability) count++;
      return count;
    },
  };
}
