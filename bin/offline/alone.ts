/** Commands that change the data itself run alone: no manager, and no other run, is at work meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Busy } from '#store/layout/offline-lease.ts';

const AGAIN_MS = 500;

/** It isn't done; the message says what to do first. */
export class NotNow extends Error {
  override name = 'NotNow';
}

const isBusy = (begun: { code: string }): begun is Busy => begun.code === 'busy';

/** Begins as soon as it is alone. A process that was killed is told from one that is at work by the lease: only the latter's grows. */
export async function beginAlone<Begun extends { code: string }>(
  begin: () => Promise<Begun | Busy>,
  say: (line: string) => void,
): Promise<Begun> {
  let before: Busy['until'] | null = null;
  for (;;) {
    const begun = await begin();
    if (!isBusy(begun)) return begun;
    const atWork = [...begun.until].find(([who, until]) => before !== null && until > (before.get(who) ?? 0));
    if (atWork?.[0].startsWith('mover:'))
      throw new NotNow('another "choir repartition" or "choir migrate" is at work on this data');
    if (atWork !== undefined) throw new NotNow('a manager is at work on this data: stop all of its processes first');
    if (before === null) say('a process was at work here moments ago: waiting to see whether it still is');
    before = begun.until;
    await sleep(AGAIN_MS);
  }
}

export function refuseOvertaken({ isOvertaken }: { isOvertaken(): boolean }): void {
  if (isOvertaken()) throw new NotNow('it stood still for so long that another may have taken over: run it again');
}
