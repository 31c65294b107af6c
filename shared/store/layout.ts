/** How far a move of the data to another number of partitions has come. Kept in `meta`, so that it can be gone on with. */
import { randomUUID } from 'node:crypto';
import type { Keys } from './keys.ts';
import { type Client, unwrap } from './redis.ts';
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
  let refresh: Promise<unknown> = Promise.resolve();

  const ask = async (to: number): Promise<string> =>
    (await runScript(client, 'begin-repartition', { meta: keys.meta }, [to, me, LEASE_MS])) as string;

  async function release(): Promise<void> {
    clearInterval(timer);
    await refresh;
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
        refresh = ask(to).catch(() => {});
      }, REFRESH_MS);
      return { code, from: Number(rest[0]), step: (rest[1] || null) as Step | null };
    },

    reach: async (step: Step): Promise<void> => void (await client.hset(keys.meta, 'step', step)),

    /** Ends this process' work on it. `changed`: whether managers stay out until somebody goes on with it. */
    async leave(changed: boolean): Promise<void> {
      await release();
      await client.hdel(keys.meta, `mover:${me}`, ...(changed ? [] : ['repartitioning']));
    },

    /** The new number holds, and managers may start, in one write. */
    async finish(to: number): Promise<void> {
      await release();
      const write = client.multi().hset(keys.meta, 'partitions', to);
      unwrap(await write.hdel(keys.meta, 'repartitioning', 'step', `mover:${me}`).exec());
    },
  };
}

export type LayoutStore = ReturnType<typeof createLayoutStore>;
