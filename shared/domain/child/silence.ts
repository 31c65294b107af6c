/** Silence counts only while the manager itself was serving: served time tells which children are lost. */

/** A time in which nobody served (ms). */
export type Gap = readonly [from: number, to: number];

/** How long after its last note a manager still counts as serving. */
export const SERVING_MS = 5_000;

/**
 * The latest time since which so much served time has passed: a child that was last heard of then, or before, has been silent
 * for so long. `lastServed`: when it last noted that it serves; one older than `SERVING_MS` says that it doesn't now, null
 * that it never has. `gaps`: in order, not overlapping.
 */
export function cutoff(now: number, silentMs: number, lastServed: number | null, gaps: readonly Gap[]): number {
  if (lastServed === null) return -Infinity;
  let end = now - lastServed > SERVING_MS ? lastServed : now;
  let left = silentMs;
  for (const [from, to] of gaps.toReversed()) {
    const served = Math.max(end - to, 0);
    if (served >= left) break;
    left -= served;
    end = from;
  }
  return end - left;
}
