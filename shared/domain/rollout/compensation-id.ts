/** Ids of compensating releases: those that take another release back. */
import { MAX_RELEASE_ID } from '#domain/ids.ts';
import type { Rollout } from './rollout.ts';

/** The id of the release that takes another one back, in a location (by its number in the order) or (null) everywhere. */
export function compensationId({ release, shortId }: Pick<Rollout, 'release' | 'shortId'>, n: number | null): string {
  const end = n === null ? '.revert' : `.revert-${n}`;
  if (release.length + end.length <= MAX_RELEASE_ID) return `${release}${end}`;
  // Two long ids that begin alike must not share one: a short id is a release's own.
  const own = `.${shortId}${end}`;
  return `${release.slice(0, MAX_RELEASE_ID - own.length)}${own}`;
}

/** Whether an id ends like one of those: nobody else may take it, or a release couldn't be taken back. */
export const isCompensationId = (id: string): boolean => /\.revert(-\d+)?$/.test(id);
