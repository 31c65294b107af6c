import { ROUNDING } from '#domain/tolerance.ts';

/** Repeatable chance (mulberry32): the same seed gives the same numbers from 0 to 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `n` times a probability as a whole number, rounded by chance: right on average for single children too. */
export function portion(n: number, share: number, random: () => number): number {
  if (share <= 0 || n === 0) return 0;
  const exact = n * Math.min(share, 1);
  const whole = Math.floor(exact + ROUNDING);
  return exact - whole > ROUNDING && random() < exact - whole ? whole + 1 : whole;
}
