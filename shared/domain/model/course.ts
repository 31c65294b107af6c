/** What a change of a rollout means, for people to read: the course of a release as a list of what happened when. */
import { isByCohorts, isOnItsOwn } from '#domain/membership.ts';
import { type Aside, type OpenLocation, type Rollout, type RolloutStateName } from '#domain/rollout.ts';
import type { Children } from './model.ts';

export type Happening =
  | { kind: 'ordered'; locations: number; children: number }
  | { kind: 'wave'; locations: readonly Pick<OpenLocation, 'id' | 'n' | 'members'>[] }
  /** All of its children are. */
  | { kind: 'enrolled'; location: string; children: number }
  | { kind: 'gate'; location: string; stage: string }
  | { kind: 'through'; location: string }
  | { kind: 'held'; location: string; reason: string }
  | { kind: 'aside'; location: string; as: Aside['as']; reason: string }
  | { kind: 'approved'; stage: string | null; location: string | null }
  | { kind: 'state'; state: RolloutStateName; reason: string | null };

/** `wave`: the one that is underway, from 1; `children`: how far they are after it. */
export type Entry = { atMs: number; wave: number; what: Happening; children: Children };

export function happenings(before: Rollout, after: Rollout): Happening[] {
  const stays = new Set(after.open.map(({ id }) => id));
  const found: Happening[] = [];
  // Each child of the wave goes through by itself: its gate tells nothing.
  const isAlone = isByCohorts(after.plan) && isOnItsOwn(after.plan);
  if (before.order === null && after.order !== null)
    found.push({ kind: 'ordered', locations: after.order.locations, children: after.order.children });
  found.push(...asideSince(before, after));
  if (before.open !== after.open) {
    const old = new Map(before.open.map((location) => [location.id, location]));
    const aside = new Set(after.aside.map(({ id }) => id));
    const opened = after.open.filter(({ id }) => !old.has(id)).map(({ id, n, members }) => ({ id, n, members }));
    for (const location of after.open) {
      const was = old.get(location.id);
      const { id, children, gates, held } = location;
      if (was === location) continue;
      if (children !== null && (was === undefined || was.children === null))
        found.push({ kind: 'enrolled', location: id, children });
      for (const gate of isAlone ? [] : gates)
        if (!(was?.gates ?? []).includes(gate))
          found.push({ kind: 'gate', location: id, stage: after.stages[gate]?.name ?? '' });
      if (held !== undefined && was?.held === undefined) found.push({ kind: 'held', location: id, reason: held });
    }
    for (const { id } of before.open)
      if (!stays.has(id) && !aside.has(id)) found.push({ kind: 'through', location: id });
    if (opened.length > 0) found.push({ kind: 'wave', locations: opened });
  }
  if (before.state !== after.state) found.push({ kind: 'state', state: after.state, reason: after.reason });
  return found;
}

function asideSince(before: Rollout, after: Rollout): Happening[] {
  if (before.aside === after.aside) return [];
  const old = new Map(before.aside.map(({ id, as }) => [id, as]));
  return after.aside.flatMap(({ id, as, reason }): Happening[] =>
    old.get(id) === as ? [] : [{ kind: 'aside', location: id, as, reason }],
  );
}
