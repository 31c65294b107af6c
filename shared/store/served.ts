/** When the manager was serving: noted each second by its API processes. */
import { type Gap, SERVING_MS } from '#domain/silence.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

/** What is older is taken as served. */
const GAPS_KEPT = 1_000;

export type ServedStore = ReturnType<typeof createServedStore>;

export function createServedStore(client: Client, keys: Keys) {
  return {
    /** This process serves right now. Called each second. */
    note: async (): Promise<void> =>
      void (await runScript(client, 'serve', { served: keys.served }, [SERVING_MS, GAPS_KEPT])),

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
