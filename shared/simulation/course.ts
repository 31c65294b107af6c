/** What a change of a rollout means, for people to read: the course of a release as a list of what happened when. */
import { isByCohorts, isOnItsOwn } from '#domain/rollout/membership.ts';
import type { OpenLocation, Rollout, RolloutStateName, WithdrawnLocation } from '#domain/rollout/rollout.ts';
import type { Children } from './fleet.ts';

export type Happening =
  | { kind: 'ordered'; locations: number; children: number }
  | { kind: 'wave'; locations: readonly Pick<OpenLocation, 'id' | 'n' | 'members'>[] }
  /** All of its children are. */
  | { kind: 'enrolled'; location: string; children: number }
  | { kind: 'gate'; location: string; stage: string }
  | { kind: 'completed'; location: string }
  | { kind: 'held'; location: string; reason: string }
  | { kind: 'withdrawn'; location: string; as: WithdrawnLocation['as']; reason: string }
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
  found.push(...withdrawnSince(before, after));
  if (before.open !== after.open) {
    const old = new Map(before.open.map((location) => [location.id, location]));
    const withdrawn = new Set(after.withdrawn.map(({ id }) => id));
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
      if (!stays.has(id) && !withdrawn.has(id)) found.push({ kind: 'completed', location: id });
    if (opened.length > 0) found.push({ kind: 'wave', locations: opened });
  }
  if (before.state !== after.state) found.push({ kind: 'state', state: after.state, reason: after.reason });
  return found;
}

function withdrawnSince(before: Rollout, after: Rollout): Happening[] {
  if (before.withdrawn === after.withdrawn) return [];
  const old = new Map(before.withdrawn.map(({ id, as }) => [id, as]));
  return after.withdrawn.flatMap(({ id, as, reason }): Happening[] =>
    old.get(id) === as ? [] : [{ kind: 'withdrawn', location: id, as, reason }],
  );
}
