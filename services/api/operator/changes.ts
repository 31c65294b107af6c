/** How an operator's call changes a rollout: read, decide, write under the guard. */
import { NotPossible } from '#domain/controls/table.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { Release, ReleaseStore } from '#store/releases/release-store.ts';
import { ProblemError } from '#wire/operator/problem.ts';

const WRITE_TRIES = 10;

export type Found = { release: Release; rollout: Rollout };
export type Change = {
  /** As in "release 21 can't be paused". */
  what: string;
  /** The version that the operator decided on. */
  expected?: number | undefined;
  /** The same rollout where it has been done already. */
  next(found: Found): Promise<Rollout> | Rollout;
  write?: ReleaseStore['write'];
};
export type Changes = ReturnType<typeof createChanges>;

export function createChanges(releases: Pick<ReleaseStore, 'release' | 'rollout' | 'write' | 'requestTick'>) {
  async function find(id: string): Promise<Found> {
    const [release, rollout] = await Promise.all([releases.release(id), releases.rollout(id)]);
    if (release === null || rollout === null) throw new ProblemError('not-found', `there is no release ${id}`);
    return { release, rollout };
  }

  /** In the words of the caller. `what`: as in "release 21 can't be paused". */
  async function possibly<T>(id: string, what: string, decide: () => Promise<T> | T): Promise<T> {
    try {
      return await decide();
    } catch (error) {
      if (error instanceof NotPossible)
        throw new ProblemError('wrong-state', `release ${id} can't be ${what}: ${error.message}`);
      throw error;
    }
  }

  /** A scheduler that wrote in between only costs another try. What has been done already is no error, whatever the version. */
  async function change(id: string, { what, expected, next, write = releases.write }: Change): Promise<Found> {
    for (let i = 0; i < WRITE_TRIES; i++) {
      const found = await find(id);
      const after = await possibly(id, what, () => next(found));
      if (after === found.rollout) return found;
      isExpected(id, found.rollout, expected);
      const written = await write(found.rollout, after);
      if (written === false) continue;
      await releases.requestTick(id);
      return { release: found.release, rollout: written };
    }
    throw new ProblemError('changed-meanwhile', `release ${id} changed while this was decided, try again`);
  }
  return { find, change, possibly };
}

export function isExpected(id: string, { version }: Rollout, expected: number | undefined): void {
  if (expected !== undefined && expected !== version)
    throw new ProblemError('stale-version', `release ${id} is at version ${version}, not ${expected}: read it again`);
}
