/** How far a move of the data to another number of partitions has come. Kept in `meta`, so that another run can go on with it. */
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from './keys.ts';
import { type Busy, createOfflineLease, parseBusy } from './offline-lease.ts';

/** What is to be done next, in this order. */
export type Step = 'move' | 'count';
/** `step`: null while nothing has been changed. */
export type Begun = { code: 'begun'; from: number; step: Step | null };

export type RepartitionStore = ReturnType<typeof createRepartitionStore>;

/** `to`: how many partitions there are to be. */
export function createRepartitionStore(client: Client, keys: Keys, to: number) {
  const lease = createOfflineLease(
    client,
    keys,
    async (me, leaseMs) =>
      (await runScript(client, 'begin-repartition', { keys: { meta: keys.meta }, args: [to, me, leaseMs] })) as string,
  );
  return {
    schema: (): Promise<string | null> => client.hget(keys.meta, 'schema'),

    /** Shuts managers and other runs out, or goes on with what was begun. */
    async begin(): Promise<Begun | Busy | { code: 'other'; to: string } | { code: 'empty' | 'same' }> {
      const reply = await lease.ask();
      const [code, ...rest] = reply.split(' ');
      if (code === 'other') return { code, to: rest.join(' ') };
      const busy = parseBusy(reply);
      if (busy !== null) return busy;
      if (code !== 'begun') return { code: code as 'empty' | 'same' };
      lease.keep();
      return { code, from: Number(rest[0]), step: (rest[1] || null) as Step | null };
    },

    isOvertaken: lease.isOvertaken,

    reach: (step: Step): Promise<void> => lease.note('step', step),

    /** Ends this process' work on it. `changed`: managers stay out until another run goes on with it. */
    leave: (changed: boolean): Promise<void> => lease.note(changed ? 'leave' : 'withdraw'),

    /** The new number holds, and managers may start, in one write. */
    finish: (): Promise<void> => lease.note('finish', 'partitions', to),
  };
}
