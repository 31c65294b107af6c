/** Child ids as real children use them: UUIDs, short hex ids, host names. */
export const CHILD_ID = /^[A-Za-z0-9._:-]{1,128}$/;
/** Characters in a release id, at most; RELEASE_ID says the same. */
export const MAX_RELEASE_ID = 64;
/** Release ids stand in URLs and file names, so `.` and `..` are none. */
export const RELEASE_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/;

/**
 * The partition of a child: FNV-1a over the id's UTF-16 units, modulo `partitions`.
 * Stored data depends on it: never change it without a migration.
 */
export function partitionOf(childId: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < childId.length; i++) {
    hash ^= childId.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  // FNV's low bits alone are weak for short ids that differ in one character: fold the high half in.
  return (((hash >>> 16) ^ hash) >>> 0) % partitions;
}
