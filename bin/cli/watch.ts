/** Follows a release to its end, live where there is a terminal. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import type { ReleaseView } from '#wire/operator/responses.ts';
import { type Client, Unreachable } from './client.ts';
import { renderRelease } from './render.ts';

export const WATCH_EXIT = { completed: 0, halted: 1, aborted: 2, unreachable: 3, reverted: 5 } as const;
const isEnd = (state: ReleaseView['state']): state is 'completed' | 'halted' | 'aborted' | 'reverted' =>
  state === 'completed' || state === 'halted' || state === 'aborted' || state === 'reverted';

const EVERY_MS = 500;
/** A manager that restarts is back within this time. */
const PATIENCE_MS = 30_000;

/** `path`: of the release, in the operator API. */
export async function watchRelease(client: Client, path: string, out: NodeJS.WriteStream): Promise<number> {
  const live = out.isTTY ? createLogUpdate(out) : null;
  let last = '';
  let reached: number | null = null;
  for (;;) {
    let release: ReleaseView | null = null;
    try {
      release = (await client.call<ReleaseView>('GET', path)).body;
      reached = performance.now();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      if (reached === null || performance.now() - reached > PATIENCE_MS) {
        live?.done();
        process.stderr.write(`${error.message}\n`);
        return WATCH_EXIT.unreachable;
      }
    }
    if (release !== null) {
      const text = renderRelease(release);
      if (live !== null) live(text);
      // What only changes by seconds passing isn't worth a line in a log.
      else if (stable(text) !== last) out.write(`${text}\n`);
      last = stable(text);
      if (isEnd(release.state)) {
        live?.done();
        return WATCH_EXIT[release.state];
      }
    }
    await sleep(EVERY_MS);
  }
}

const stable = (text: string): string => text.replaceAll(/last seen \d+ s ago(, lost in \d+ s)?|\d+ s of soak/g, '');
