/**
 * A release that takes another one back, seen from either side: what it is for, and how far it is. Whoever is Done with the
 * one, and is still there, must have the other.
 */
import { addCounts, type Counts, enrolled, inRelease, marked, underway } from '#domain/counts.ts';
import type { CompensationView, Snapshot } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import { foldContributions, rankRange } from '#domain/record.ts';
import { isByTurns } from '#domain/membership.ts';
import { compensationId, type Rollout, signalledStages } from '#domain/rollout.ts';
import { ReleaseStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import { countsIn, countsOf } from './count-reads.ts';
import type { Keys } from './keys.ts';
import type { Plans } from './plans.ts';
import type { RecordHead } from './record-codec.ts';
import type { Client } from './redis.ts';
import type { ReleaseStore } from './release-store.ts';

const AT_ONCE = 500;
/** Records of a partition that are looked at to find one that isn't away; where there are more, one may well be among them. */
const LOOKED_AT = 20_000;
const AWAY = MARK.lost | MARK.overdue;

export type SourceStore = ReturnType<typeof createSourceStore>;

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'partition' | 'partitions' | 'head' | 'record'>;
  releases: Pick<ReleaseStore, 'rollout'>;
  plans: Plans;
};

/** `members`: children who are known to be meant. There are more when more are Done. */
export type Source = NonNullable<Snapshot['source']> & { members: number };

export function createSourceStore({ client, keys, children, releases, plans }: Deps) {
  const all = Array.from({ length: children.partitions }, (_, p) => p);

  /** What a release, or one of its locations (open, or set aside), has come to in a partition. */
  async function countsOfSource(p: number, source: Rollout, location: string | null): Promise<Counts> {
    if (location === null) return countsIn(client, keys, p, source, null);
    if (isByTurns(source.plan)) {
      const record = children.partition(location) === p ? await children.record(source.tag, location) : null;
      return record === null ? new Map() : foldContributions([record]);
    }
    const found = [...source.open, ...source.aside].find(({ id }) => id === location);
    return found === undefined ? new Map() : countsIn(client, keys, p, source, found);
  }

  /** Children of a compensating release in a partition, enrolled or still to be. */
  async function known(p: number, { release, plan }: Rollout): Promise<{ members: number; gone: number }> {
    const [sizes, waiting, own] = await Promise.all([
      client.hgetall(keys.sizes(p, release)),
      plan.by === 'child' ? client.zcard(keys.order(p, release)) : 0,
      plan.by === 'child' ? client.hget(keys.agg(p, release), 'n') : '0',
    ]);
    const members = Object.entries(sizes).reduce(
      (sum, [field, n]) => sum + (field.startsWith('n:') ? Number(n) : 0),
      0,
    );
    return { members: members + waiting + Number(own ?? 0), gone: Number(sizes['@gone'] ?? 0) };
  }

  /** Whoever has it is let through, and will yet be Done. */
  function isLetThrough(source: Rollout, location: string | null): boolean {
    if (!source.plan.releaseHeld) return false;
    if (source.state === 'reverting') return true;
    const aside = source.aside.find(({ id }) => id === location);
    return aside !== undefined && signalledStages(source).every((stage) => aside.gates.includes(stage));
  }

  /** Children that have it and may yet be Done: neither lost nor overdue. So many at least, and 0 only if there is none. */
  async function coming(source: Rollout, location: string | null, counts: Counts): Promise<number> {
    if (!isLetThrough(source, location)) return 0;
    const doing = inRelease(counts, ReleaseStatus.Doing);
    const others = marked(counts, AWAY);
    if (doing > others || doing === 0) return doing - Math.min(others, doing);
    // Some of the marked may never have downloaded it, so that their number says nothing of the others.
    const isComing = (head: RecordHead | null): boolean =>
      head !== null && (head.marks & (AWAY | MARK.ejected)) === 0 && (location === null || head.location === location);
    const [from, to] = rankRange(ReleaseStatus.Doing);
    for (const p of all) {
      // At once: whoever leaves the range meanwhile would push another out of sight.
      const index = keys.index(p, source.release);
      const ids = await client.zrange(index, from, String(to), 'BYSCORE', 'LIMIT', 0, LOOKED_AT + 1);
      if (ids.length > LOOKED_AT) return 1;
      for (let at = 0; at < ids.length; at += AT_ONCE) {
        const heads = await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => children.head(source.tag, id)));
        if (heads.some(isComing)) return 1;
      }
    }
    return 0;
  }

  async function sourceOf(rollout: Rollout): Promise<Source | null> {
    if (rollout.plan.compensates === null || rollout.startedAt === null) return null;
    const { target } = (await plans(rollout)).plan;
    const source = await releases.rollout(rollout.plan.compensates);
    if (source === null) return { done: 0, coming: 0, members: 0 };
    const location = target.kind === 'done' ? target.location : null;
    // Members first: whoever becomes Done in between is found missing, and is looked for.
    const mine = await Promise.all(all.map((p) => known(p, rollout)));
    const counts = addCounts(await Promise.all(all.map((p) => countsOfSource(p, source, location))));
    const gone = mine.reduce((sum, each) => sum + each.gone, 0);
    return {
      done: Math.max(inRelease(counts, ReleaseStatus.Done) - gone, 0),
      coming: await coming(source, location, counts),
      members: mine.reduce((sum, { members }) => sum + members, 0),
    };
  }

  async function viewOf(source: Rollout, n: number | null): Promise<CompensationView | null> {
    const rollout = await releases.rollout(compensationId(source, n));
    if (rollout === null || rollout.state === 'published') return null;
    const hashes = await Promise.all(all.map((p) => client.hgetall(keys.agg(p, rollout.release))));
    const counts = addCounts(hashes.map(countsOf));
    const aborted = rollout.state === 'aborted' || rollout.state === 'reverted';
    const view = { unreached: enrolled(counts) - inRelease(counts, ReleaseStatus.Done), aborted };
    if (aborted || rollout.state === 'completed') return { ...view, through: true };
    if (rollout.state !== 'running' || rollout.order === null) return { ...view, through: false };
    const about = await sourceOf(rollout);
    const waits = underway(counts) - marked(counts, MARK.lost);
    const missing = Math.max(about?.done ?? 0, about?.members ?? 0) - enrolled(counts);
    return { ...view, through: waits === 0 && missing <= 0 && (about?.coming ?? 0) === 0 };
  }

  return {
    sourceOf,

    /** Children who are Done with a release, or in one of its locations, in a partition. */
    doneIn: async (p: number, source: Rollout, location: string | null): Promise<number> =>
      inRelease(await countsOfSource(p, source, location), ReleaseStatus.Done),

    /** Of the releases that take this one back: by location, '' = the whole of it. */
    async compensations(source: Rollout): Promise<Map<string, CompensationView>> {
      const asked: [string, number | null][] = source.aside.flatMap(({ id, n, as }) =>
        as === 'reverting' ? [[id, n] as [string, number]] : [],
      );
      if (source.state === 'reverting') asked.push(['', null]);
      const views = await Promise.all(asked.map(([, n]) => viewOf(source, n)));
      return new Map(
        asked.flatMap(([id], i) => {
          const view = views[i];
          return view == null ? [] : [[id, view] as const];
        }),
      );
    },
  };
}
