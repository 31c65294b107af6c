/** When the manager was serving: noted each second by its API processes. */
import { type Gap, SERVING_MS } from '#domain/child/silence.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';

/** What is older is taken as served. */
const GAPS_KEPT = 1_000;

export type ServedStore = ReturnType<typeof createServedStore>;

export function createServedStore(client: Client, keys: Keys) {
  return {
    /** This process serves right now. Called each second. */
    note: async (): Promise<void> =>
      void (await runScript(client, 'note-served', { keys: { served: keys.served }, args: [SERVING_MS, GAPS_KEPT] })),

    /** When one last served (ms), null = never; and the times in which none did, in order. */
    async read(): Promise<{ lastServed: number | null; gaps: Gap[] }> {
      const [at, gaps] = await client.hmget(keys.served, 'at', 'gaps');
      return {
        lastServed: at == null ? null : Number(at),
        gaps: (gaps ?? '').split(' ').flatMap((gap): Gap[] => {
          const [from, to] = gap.split('-').map(Number);
          return from === undefined || to === undefined ? [] : [[from, to]];
        }),
      };
    },
  };
}
