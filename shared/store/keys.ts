/**
 * Every key in Redis. All keys of a child, the aggregates that it feeds and the queues that carry its messages bear the
 * hash tag of its partition, so that one Lua call may touch them together on a Redis Cluster.
 */
export type Keys = ReturnType<typeof createKeys>;

export function createKeys(prefix: string) {
  const partition = (p: number): string => `${prefix}:{${p}}`;
  const ofRelease = (p: number, release: string): string => `${partition(p)}:r:${release}`;
  return {
    /** BullMQ's prefix for the queues of a partition. */
    partition,
    child: (p: number, id: string): string => `${partition(p)}:c:${id}`,
    /** Sorted set: last seen (ms) → id. */
    seen: (p: number): string => `${partition(p)}:seen`,
    /** List of messages that couldn't be applied, newest first. */
    dead: (p: number): string => `${partition(p)}:dead`,
    /** Hash: partition that ceases to be → its dead letters that were taken over so far. */
    deadTaken: (p: number): string => `${partition(p)}:dead-taken`,
    /** Hash: message of a batch that stalled → how often it was tried. */
    tried: (p: number, batch: string): string => `${partition(p)}:tried:${batch}`,
    agg: (p: number, release: string): string => `${ofRelease(p, release)}:agg`,
    /** The same of the children of one location, by their membership (see `membershipToken`); Lua makes it from the one above. */
    aggOf: (p: number, release: string, membership: string): string => `${ofRelease(p, release)}:agg:${membership}`,
    /** Sorted set: how far → id, of all children enrolled in a release. */
    index: (p: number, release: string): string => `${ofRelease(p, release)}:idx`,
    /** Sorted set: place in the order → id, of the children of a location that are still to be enrolled. */
    todo: (p: number, release: string, location: string): string => `${ofRelease(p, release)}:todo:${location}`,
    /**
     * Hash: `n:<location>` its members here, `f:<location>` when the first of them joined (ms); `n:` are those in no region.
     * `@late`: arrivals that no location takes; `@gone`: children of the release that is taken back who are no more, or were taken out of this one.
     */
    sizes: (p: number, release: string): string => `${ofRelease(p, release)}:sizes`,
    /** List: ids of children that have joined, or come back, since the release was started. */
    arrived: (p: number, release: string): string => `${ofRelease(p, release)}:arrived`,
    /** Sorted set: children are fresh since (ms) → release, of the running releases that take late joiners in. */
    late: (p: number): string => `${partition(p)}:late`,
    /** Sorted set: InProgress in its stage since (ms) → id, for plans with a deadline. */
    due: (p: number, release: string): string => `${ofRelease(p, release)}:due`,
    /** Sorted set: place in the order → id, where each child is a location: those whose turn is still to come. */
    order: (p: number, release: string): string => `${ofRelease(p, release)}:order`,
    /** Definition and rollout share a hash tag: both are written by one call. */
    release: (id: string): string => `${prefix}:release:{${id}}`,
    /** Hash: `v` version, `doc` the state, `plan` the whole of it, `order` what there is to go through, `fence` (see heads.lua), `forgotten` once its children's records are. */
    rollout: (id: string): string => `${prefix}:rollout:{${id}}`,
    /** List: the locations of a release in their order, each `<members> <id>`. */
    places: (id: string): string => `${prefix}:places:{${id}}`,
    /** Hash: `at` when an API last served (ms); list of times when none did, beside it. */
    served: `${prefix}:served`,
    /** Hash: the file's bytes, and a field per publish that claims them: equal bytes are kept once. */
    bundle: (sha256: string): string => `${prefix}:bundle:${sha256}`,
    /** Sorted set: published at (ms) → release id. */
    releases: `${prefix}:releases`,
    /** Set of releases whose rollout isn't finished. */
    unfinished: `${prefix}:unfinished`,
    /** Text: the token of the start that is being decided (see lock.ts). */
    starts: `${prefix}:starts`,
    /** Counts up: the tag of the next release. */
    tags: `${prefix}:tags`,
    /** Hash: schema, partitions; who is at work (see lease.ts); how far a repartition has come (see layout.ts). */
    meta: `${prefix}:meta`,
    /** Hash: a release's aggregate over all partitions, kept while children change places. */
    sums: (release: string): string => `${prefix}:sums:{${release}}`,
    /** Set: releases whose aggregates are still to be laid out anew. */
    recounts: `${prefix}:recounts`,
    /** Pub/sub channel: the id of a rollout that changed, and behind a space what it is now (JSON) if its writer says it. */
    changes: `${prefix}:changes`,
    /** Pub/sub channel: ids of children for whom there is something new, separated by spaces. */
    moved: `${prefix}:moved`,
    /** Pub/sub channel: the id of a rollout that is to be looked at now. */
    looks: `${prefix}:looks`,
    /** BullMQ's prefix for the ticks. */
    ticks: `${prefix}:{ticks}`,
  };
}
