/**
 * A release that takes another one back, seen from either side: what it is for, and how far it is. Whoever is Done with the
 * one, and is still there, must have the other.
 */
import { addCounts, type Counts, enrolled, inRelease, inStage, marked, underway } from '#domain/counts.ts';
import type { CompensationView, Snapshot } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import { gatePassed, isByTurns } from '#domain/membership.ts';
import { currentStage, foldContributions, rankRange } from '#domain/record.ts';
import { compensationId, type Rollout, signalledStages } from '#domain/rollout.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import { countsIn, countsOf } from './count-reads.ts';
import type { Keys } from './keys.ts';
import type { Plans } from './plans.ts';
import { toRecord } from './record-codec.ts';
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
export type Source = NonNullable<Snapshot['source']> & { members: number; blind: number };
type Coming = { coming: number; blind: number; held: number };
const NOBODY_COMES: Coming = { coming: 0, blind: 0, held: 0 };
const NONE: Counts = new Map();
/** A look at single records costs more than a tick should: its answer serves for so long, while the counts stay. */
const LOOK_EVERY_MS = 5_000;
const LOOKS_KEPT = 100;

export function createSourceStore({ client, keys, children, releases, plans }: Deps) {
  const all = Array.from({ length: children.partitions }, (_, p) => p);
  const looked = new Map<string, { signature: string; at: number; found: Coming }>();

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

  /** Children who stay in a stage, as its gate is shut to them. */
  async function heldIn(source: Rollout, location: string | null): Promise<number> {
    const places = [...source.open, ...source.aside].filter(({ id }) => location === null || id === location);
    const shut = places.map((place) =>
      signalledStages(source).filter((stage) => !gatePassed(source, place, stage, -1)),
    );
    const counts = await Promise.all(
      places.map(async ({ id }, i) =>
        shut[i]?.length === 0 ? NONE : addCounts(await Promise.all(all.map((p) => countsOfSource(p, source, id)))),
      ),
    );
    const { InProgress, SuccessWaiting } = StageStatus;
    return counts.reduce(
      (sum, each, i) =>
        (shut[i] ?? []).reduce(
          (held, stage) => held + inStage(each, stage, InProgress) + inStage(each, stage, SuccessWaiting),
          sum,
        ),
      0,
    );
  }

  /**
   * Children that have it, may yet be Done, and are neither lost nor overdue: as many at least, and 0 only if there is none.
   * `blind`: those of them in an A/B stage, who say nothing until it ends.
   */
  async function coming(source: Rollout, location: string | null, counts: Counts): Promise<Coming> {
    const doing = inRelease(counts, ReleaseStatus.Doing);
    if (doing === 0) return NOBODY_COMES;
    const others = marked(counts, AWAY);
    const ab = source.stages.reduce(
      (sum, { type }, i) => (type === 'A/B' ? sum + inStage(counts, i, StageStatus.InProgress) : sum),
      0,
    );
    const held = await heldIn(source, location);
    const free = Math.max(doing - held, 0);
    if (free === 0) return { ...NOBODY_COMES, held };
    const blind = Math.min(ab, free);
    if (others === 0 || free - blind > others) return { coming: free, blind, held };
    // Some of the marked may be held, or may never have downloaded it, so that their number says nothing of the others.
    const key = `${source.release} ${location ?? ''}`;
    const signature = [source.version, doing, others, free, blind].join(' ');
    const before = looked.get(key);
    if (before?.signature === signature && performance.now() - before.at < LOOK_EVERY_MS) return before.found;
    const found = { ...(await lookFor(source, location)), held };
    looked.set(key, { signature, at: performance.now(), found });
    if (looked.size > LOOKS_KEPT) looked.delete([...looked.keys()][0] ?? '');
    return found;
  }

  async function lookFor(source: Rollout, location: string | null): Promise<Omit<Coming, 'held'>> {
    const found = { coming: 0, blind: 0 };
    const [from, to] = rankRange(ReleaseStatus.Doing);
    for (const p of all) {
      // At once: whoever leaves the range meanwhile would push another out of sight.
      const index = keys.index(p, source.release);
      const ids = await client.zrange(index, from, String(to), 'BYSCORE', 'LIMIT', 0, LOOKED_AT + 1);
      if (ids.length > LOOKED_AT) return { coming: 1, blind: 0 };
      for (let at = 0; at < ids.length; at += AT_ONCE) {
        const heads = await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => children.head(source.tag, id)));
        for (const head of heads) {
          if (head === null || (head.marks & (AWAY | MARK.ejected)) !== 0) continue;
          if (location !== null && head.location !== location) continue;
          const stage = currentStage(toRecord(head, []));
          const isBlind = source.stages[stage]?.type === 'A/B';
          const place = { id: head.location, n: head.n };
          if (!isBlind && stage >= 0 && stage >= head.hand && !gatePassed(source, place, stage, -1)) continue;
          found.coming++;
          if (isBlind) found.blind++;
        }
      }
    }
    return found;
  }

  async function sourceOf(rollout: Rollout): Promise<Source | null> {
    if (rollout.plan.compensates === null || rollout.startedAt === null) return null;
    const { target } = (await plans(rollout)).plan;
    const source = await releases.rollout(rollout.plan.compensates);
    if (source === null) return { done: 0, ...NOBODY_COMES, members: 0 };
    const location = target.kind === 'done' ? target.location : null;
    // Members first: whoever becomes Done in between is found missing, and is looked for.
    const mine = await Promise.all(all.map((p) => known(p, rollout)));
    const counts = addCounts(await Promise.all(all.map((p) => countsOfSource(p, source, location))));
    const gone = mine.reduce((sum, each) => sum + each.gone, 0);
    return {
      done: Math.max(inRelease(counts, ReleaseStatus.Done) - gone, 0),
      ...(await coming(source, location, counts)),
      members: mine.reduce((sum, { members }) => sum + members, 0),
    };
  }

  async function viewOf(source: Rollout, n: number | null): Promise<CompensationView | null> {
    const rollout = await releases.rollout(compensationId(source, n));
    if (rollout === null || rollout.state === 'published' || rollout.plan.compensates !== source.release) return null;
    const hashes = await Promise.all(all.map((p) => client.hgetall(keys.agg(p, rollout.release))));
    const counts = addCounts(hashes.map(countsOf));
    const aborted = rollout.state === 'aborted' || rollout.state === 'reverted';
    const about = aborted ? null : await sourceOf(rollout);
    const blind = about?.blind ?? 0;
    const view = {
      unreached: enrolled(counts) - inRelease(counts, ReleaseStatus.Done) + blind + (about?.held ?? 0),
      aborted,
    };
    if (aborted || rollout.state === 'completed') return { ...view, through: true };
    if (rollout.state !== 'running' || rollout.order === null) return { ...view, through: false };
    const waits = underway(counts) - marked(counts, MARK.lost);
    const missing = Math.max(about?.done ?? 0, about?.members ?? 0) - enrolled(counts);
    return { ...view, through: waits === 0 && missing <= 0 && (about?.coming ?? 0) <= blind };
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
