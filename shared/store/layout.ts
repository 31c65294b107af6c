/** How far a move of the data to another number of partitions has come. Kept in `meta`, so that it can be gone on with. */
import { randomUUID } from 'node:crypto';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

/** Whoever was killed holds the next one up for so long. */
const LEASE_MS = 4_000;
const REFRESH_MS = 1_000;

/** What is to be done next, in this order. */
export type Step = 'move' | 'count';
/** `step`: null while nothing has been changed. */
export type Begun = { code: 'begun'; from: number; step: Step | null };
/** Who is at work, and until when (ms of Redis' clock) each has said that it is. */
export type Busy = { code: 'busy'; until: ReadonlyMap<string, number> };

export function createLayoutStore(client: Client, keys: Keys) {
  const me = randomUUID();
  let timer: NodeJS.Timeout | undefined;
  let refresh: Promise<void> = Promise.resolve();
  let overtaken = false;
  let leased = 0;

  async function ask(to: number): Promise<string> {
    const at = performance.now();
    const reply = (await runScript(client, 'begin-repartition', { meta: keys.meta }, [to, me, LEASE_MS])) as string;
    // Taken again after it had run out, it says nothing of who was here meanwhile.
    if (reply.startsWith('begun') && (leased === 0 || at - leased < LEASE_MS)) leased = at;
    return reply;
  }

  async function keepAsking(to: number): Promise<void> {
    try {
      if (!(await ask(to)).startsWith('begun')) overtaken = true;
    } catch {
      // The next one may get through.
    }
  }

  async function write(what: 'step' | 'leave' | 'withdraw' | 'finish', value: string | number = ''): Promise<void> {
    if (what !== 'step') clearInterval(timer);
    await refresh;
    const written = await runScript(client, 'write-layout', { meta: keys.meta }, [me, what, value]);
    if (written === 0) overtaken = true;
  }

  return {
    schema: (): Promise<string | null> => client.hget(keys.meta, 'schema'),

    /** Shuts managers and other movers out, or goes on with what was begun. */
    async begin(to: number): Promise<Begun | Busy | { code: 'other'; to: string } | { code: 'empty' | 'same' }> {
      const [code, ...rest] = (await ask(to)).split(' ');
      if (code === 'other') return { code, to: rest[0] ?? '' };
      if (code === 'busy') {
        const leases = rest.map((lease) => lease.split('='));
        return { code, until: new Map(leases.map(([who = '', until]) => [who, Number(until)])) };
      }
      if (code !== 'begun') return { code: code as 'empty' | 'same' };
      timer = setInterval(() => {
        refresh = keepAsking(to);
      }, REFRESH_MS);
      return { code, from: Number(rest[0]), step: (rest[1] || null) as Step | null };
    },

    /** Whether another process may have taken over, since this one seemed to be dead. */
    isOvertaken: (): boolean => overtaken || performance.now() - leased > LEASE_MS,

    reach: (step: Step): Promise<void> => write('step', step),

    /** Ends this process' work on it. `changed`: managers stay out until somebody goes on with it. */
    leave: (changed: boolean): Promise<void> => write(changed ? 'leave' : 'withdraw'),

    /** The new number holds, and managers may start, in one write. */
    finish: (to: number): Promise<void> => write('finish', to),
  };
}

export type LayoutStore = ReturnType<typeof createLayoutStore>;
