/** A migration of the data from the schema before to this one. Kept in `meta`, so that another run can go on with it. */
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from './keys.ts';
import { type Busy, createOfflineLease, parseBusy } from './offline-lease.ts';
import { MIGRATED_SCHEMA, SCHEMA } from './schema.ts';

type NotBegun = { code: 'empty' | 'same' } | { code: 'other'; schema: string } | { code: 'moving'; to: string };

export type MigrationStore = ReturnType<typeof createMigrationStore>;

export function createMigrationStore(client: Client, keys: Keys) {
  const lease = createOfflineLease(
    client,
    keys,
    async (me, leaseMs) =>
      (await runScript(client, 'begin-migration', {
        keys: { meta: keys.meta },
        args: [MIGRATED_SCHEMA, SCHEMA, me, leaseMs],
      })) as string,
  );
  return {
    /** Shuts managers of all versions, and other runs, out; or goes on with what was begun. */
    async begin(): Promise<{ code: 'begun'; partitions: number } | Busy | NotBegun> {
      const reply = await lease.ask();
      const [code = '', value = ''] = reply.split(' ');
      if (code === 'other') return { code, schema: value };
      if (code === 'moving') return { code, to: value };
      const busy = parseBusy(reply);
      if (busy !== null) return busy;
      if (code !== 'begun') return { code: code as 'empty' | 'same' };
      lease.keep();
      return { code, partitions: Number(value) };
    },

    isOvertaken: lease.isOvertaken,

    /** Ends this process' work on it. Managers stay out until another run goes on with it. */
    leave: (): Promise<void> => lease.note('leave'),

    /** The new schema holds, and managers may start, in one write. */
    finish: (): Promise<void> => lease.note('finish', 'schema', SCHEMA),
  };
}
