/**
 * The lease of a command that changes the data while no manager runs: `choir repartition`, `choir migrate`. It is kept in
 * `meta`, beside how far the work has come, so that another run can go on with it.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from './keys.ts';

/** A run that was killed keeps the next one waiting for so long. */
const LEASE_MS = 4_000;
const REFRESH_MS = 1_000;

/** The processes at work, and until when (ms of Redis' clock) each has said that it is. */
export type Busy = { code: 'busy'; until: ReadonlyMap<string, number> };

type Take = (me: string, leaseMs: number) => Promise<string>;

/** `take`: asks for the lease; a reply that begins with `begun` says that this run has it. */
export function createOfflineLease(client: Client, keys: Keys, take: Take) {
  const me = randomUUID();
  let timer: NodeJS.Timeout | undefined;
  let refresh: Promise<void> = Promise.resolve();
  let overtaken = false;
  let leased = 0;

  async function ask(): Promise<string> {
    const at = performance.now();
    const reply = await take(me, LEASE_MS);
    // Taken again after it had run out, it says nothing of who was here meanwhile.
    if (reply.startsWith('begun') && (leased === 0 || at - leased < LEASE_MS)) leased = at;
    return reply;
  }

  async function askAgain(): Promise<void> {
    try {
      if (!(await ask()).startsWith('begun')) overtaken = true;
    } catch {
      // The next one may succeed.
    }
  }

  return {
    ask,

    /** Asks again and again, until the work ends. */
    keep(): void {
      timer = setInterval(() => {
        refresh = askAgain();
      }, REFRESH_MS);
    },

    /** Whether another process may have taken over, since this one seemed to be dead. */
    isOvertaken: (): boolean => overtaken || performance.now() - leased > LEASE_MS,

    /** `values`: the step that was reached; or, with `finish`, a field of `meta` and its new value. */
    async note(what: 'step' | 'leave' | 'withdraw' | 'finish', ...values: readonly (string | number)[]): Promise<void> {
      if (what !== 'step') clearInterval(timer);
      await refresh;
      const written = await runScript(client, 'note-offline-work', {
        keys: { meta: keys.meta },
        args: [me, what, ...values],
      });
      if (written === 0) overtaken = true;
    },
  };
}

/** From `busy <who>=<until> …`. */
export function parseBusy(reply: string): Busy | null {
  const [code, ...rest] = reply.split(' ');
  if (code !== 'busy') return null;
  const leases = rest.map((lease) => lease.split('='));
  return { code, until: new Map(leases.map(([who = '', until]) => [who, Number(until)])) };
}
