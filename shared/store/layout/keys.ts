/**
 * Every key in Redis. All keys of a child, the counts that it feeds and the queues that carry its messages bear the hash tag
 * of its partition, so that one Lua call may touch them together on a Redis Cluster.
 */
export type Keys = ReturnType<typeof createKeys>;

export const createKeys = (prefix: string) => ({
  ...partitionKeys(prefix),
  ...releaseKeys(prefix),
  ...sharedKeys(prefix),
});

/** Keys of one partition. */
function partitionKeys(prefix: string) {
  const partition = (p: number): string => `${prefix}:{${p}}`;
  const releases = (p: number): string => `${partition(p)}:r:`;
  const ofRelease = (p: number, release: string): string => `${releases(p)}${release}`;
  return {
    /** BullMQ's prefix for the queues of a partition. */
    partition,
    /** What all keys of releases in a partition begin with; Lua goes on with the release, and `:arrived` or `:agg`. */
    releases,
    child: (p: number, id: string): string => `${partition(p)}:c:${id}`,
    /** Sorted set: last seen (ms) → id. */
    seen: (p: number): string => `${partition(p)}:seen`,
    /** List of messages that couldn't be applied, newest first. */
    deadLetters: (p: number): string => `${partition(p)}:dead`,
    /** Hash: partition that ceases to be → its dead letters that were taken over so far. */
    deadLettersTaken: (p: number): string => `${partition(p)}:dead-taken`,
    /** Hash: message of a batch that stalled → how often it was tried. */
    tried: (p: number, batch: string): string => `${partition(p)}:tried:${batch}`,
    /** Sorted set: children are fresh since (ms) → release, of the running releases that take late joiners in. */
    late: (p: number): string => `${partition(p)}:late`,
    /** Hash: counts of all children of a release here, and what jobs note beside them (fields with @: see agg-fields.ts). */
    agg: (p: number, release: string): string => `${ofRelease(p, release)}:agg`,
    /** The same of the children of one location, by their membership (see `membershipToken`); '' = what all of them begin with. */
    aggOf: (p: number, release: string, membership: string): string => `${ofRelease(p, release)}:agg:${membership}`,
    /** Sorted set: how far → id, of all children enrolled in a release. */
    index: (p: number, release: string): string => `${ofRelease(p, release)}:idx`,
    /** Sorted set: place in the order → id, of the children of a location that are still to be enrolled. */
    todo: (p: number, release: string, location: string): string => `${ofRelease(p, release)}:todo:${location}`,
    /**
     * Hash: `n:<location>` its members here, `f:<location>` when the first of them joined (ms); `n:` are those in no region.
     * `@late`: arrivals that no location takes; `@gone`: children of the release that is taken back that are no more, or were
     * ejected from this one.
     */
    sizes: (p: number, release: string): string => `${ofRelease(p, release)}:sizes`,
    /** List: ids of children that have joined, or come back, since the release was started. */
    arrived: (p: number, release: string): string => `${ofRelease(p, release)}:arrived`,
    /** Sorted set: InProgress in its stage since (ms) → id, for plans with a deadline. */
    due: (p: number, release: string): string => `${ofRelease(p, release)}:due`,
    /** Sorted set: place in the order → id, where each child is a location: those whose turn is still to come. */
    order: (p: number, release: string): string => `${ofRelease(p, release)}:order`,
  };
}

/** Keys of one release or bundle, each in a slot of its own. */
function releaseKeys(prefix: string) {
  return {
    /** Definition and rollout share a hash tag: both are written by one call. */
    release: (id: string): string => `${prefix}:release:{${id}}`,
    /**
     * Hash: `v` version, `doc` the state, `plan` the whole of it, `order` what there is to go through, `fence` (see
     * first-in-order.lua), `forgotten` once its children's records are.
     */
    rollout: (id: string): string => `${prefix}:rollout:{${id}}`,
    /** List: the locations of a release in their order, each `<members> <id>`. */
    locations: (id: string): string => `${prefix}:locations:{${id}}`,
    /** Hash: the file's bytes, and a field per publish that claims them: equal bytes are kept once. */
    bundle: (sha256: string): string => `${prefix}:bundle:${sha256}`,
    /** Hash: a release's counts over all partitions, kept while children move to other partitions. */
    sums: (release: string): string => `${prefix}:sums:{${release}}`,
  };
}

/** Keys that all processes share, and channels. */
function sharedKeys(prefix: string) {
  return {
    /** Hash: `at` when an API last served (ms); list of times when none did, beside it. */
    served: `${prefix}:served`,
    /** Sorted set: published at (ms) → release id. */
    releaseList: `${prefix}:releases`,
    /** Set of releases whose rollout isn't finished. */
    unfinished: `${prefix}:unfinished`,
    /** Text: the token of the start that is being decided (see lock.ts). */
    starts: `${prefix}:starts`,
    /** Counts up: the short id of the next release. */
    shortIds: `${prefix}:short-ids`,
    /** Hash: schema, partitions; processes at work (see lease.ts); how far a repartition, or a migration, has come. */
    meta: `${prefix}:meta`,
    /** Set: releases whose counts are still to be laid out anew. */
    recounts: `${prefix}:recounts`,
    /** Pub/sub channel: the id of a rollout that changed, and behind a space what it is now (JSON) if its writer says it. */
    rolloutChanged: `${prefix}:rollout-changed`,
    /** Pub/sub channel: ids of children for which there is something new, separated by spaces. */
    childChanged: `${prefix}:child-changed`,
    /** Pub/sub channel: the id of a rollout that is to be ticked now. */
    tickRequests: `${prefix}:tick-requests`,
    /** BullMQ's prefix for the queues that belong to no partition. */
    ticks: `${prefix}:{ticks}`,
  };
}
