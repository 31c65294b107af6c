/**
 * Every field that a child's hash may have, and what removes it. One letter each: a hash of short fields and values takes a
 * third of the memory.
 */
export const CHILD_FIELDS = {
  f: 'first seen (ms)',
  s: 'last seen (ms)',
  w: 'when its area was written (ms); absent: when it was first seen',
  a: 'area, packed (see area-codec.ts)',
  d: 'digest of its last poll',
  n: 'number of its children; absent: none',
  p: 'offers, `<release>:<epoch>[:<n>]` each, between spaces',
  u: 'the release that it runs, `<release> <short id>`',
  o: 'when it was found to have left that release (ms)',
  l: 'releases in which it is lost and Todo, `<release>:<short id>` each, between spaces',
} as const;

/**
 * All of these go with the child (delete-child.lua), and those that name a release with what the child did in it
 * (forget-records.lua). A record is removed by forget-records.lua alone: its head under the release's short id, and the kept
 * reports under `<short id>.<attempt>.<stage>`; those of an earlier attempt go with the retry (compare-and-set.lua).
 */
export const RECORD_FIELD = /^\d+(?:\.\d+\.\d+)?$/;

export const isChildField = (field: string): boolean => Object.hasOwn(CHILD_FIELDS, field);
