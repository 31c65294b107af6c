/** A stable number for a text: the same on every machine and in every version, as rollouts under way depend on it. */

/**
 * From 0 to 1, without 1. FNV-1a of 32 bits over the text's UTF-16 code units (over its bytes, if it is ASCII), then the
 * final mix of MurmurHash3: without it, ids that differ in their last letter only would be neighbours.
 */
export function share01(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
