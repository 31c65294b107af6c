/**
 * What a tick costs over 10,000 open locations: reading the counts of all partitions, and deciding on them. Beside it the bare
 * reading of the same hashes, of which nothing is made.
 */
import { PRESETS } from '#domain/plan/presets.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { decide } from '#domain/scheduling/decide.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { runScript } from '#store/connection/script.ts';
import { alternate, compared, type Part } from '../lib/part.ts';
import { keys, openRedis, PARTITIONS, type Redis } from '../lib/populate.ts';
import { startRedis } from '../lib/processes.ts';
import { STAGES } from '../lib/release.ts';

const LOCATIONS = 10_000;
/** Children of a location in each partition. */
const CHILDREN = 3;
const AT_ONCE = 200;
const TICKS = 3;
const RELEASE = '21';

/** Of children that have measured something in their first stage, and wait in it. */
const COUNTS = {
  n: CHILDREN,
  r2: CHILDREN,
  's0.2': CHILDREN - 1,
  's0.1': 1,
  '0.f1:93': 2,
  '0.f2:90': 2,
  '0.e1:-173': 2,
  '0.e2:-155': 2,
};

const locations = Array.from({ length: LOCATIONS }, (_, i) => ({ id: `grid-${i}`, n: i + 1 }));

function running(): Rollout {
  const plan = PRESETS['location-parallel'];
  const stages = STAGES.map((name) => ({ name, type: 'WaitForSignal' as const }));
  const rollout = startRollout(publishedRollout({ release: RELEASE, shortId: '1', stages, plan }), plan, 1, 0);
  const children = CHILDREN * PARTITIONS;
  return {
    ...rollout,
    effects: [],
    open: locations.map(({ id, n }) => ({ id, n, members: children, quota: null, children, gates: [] })),
    order: { locations: LOCATIONS, children: LOCATIONS * children, outside: 0 },
    started: { locations: LOCATIONS, waves: 1 },
  };
}

async function populate({ client }: Redis, rollout: Rollout): Promise<void> {
  await client.hset(keys.rollout(RELEASE), 'order', JSON.stringify(rollout.order));
  for (let p = 0; p < PARTITIONS; p++) {
    const pipeline = client.pipeline();
    const totals = Object.entries(COUNTS).map(([field, n]) => [field, n * LOCATIONS] as const);
    pipeline.hset(keys.agg(p, RELEASE), { ...Object.fromEntries(totals), [AGG.assigned]: 1, [AGG.silent]: 0 });
    for (const { id, n } of locations) pipeline.hset(keys.aggOf(p, RELEASE, `${n}/${id}`), COUNTS);
    await pipeline.exec();
  }
}

async function readBare({ client }: Redis): Promise<void> {
  await Promise.all(
    Array.from({ length: PARTITIONS }, async (_, p) => {
      for (let from = 0; from < LOCATIONS; from += AT_ONCE) {
        const some = locations.slice(from, from + AT_ONCE).flatMap(({ n, id }) => [n, id]);
        const args = [keys.aggOf(p, RELEASE, ''), 'own', keys.todo(p, RELEASE, ''), ...some];
        await runScript(client, 'read-locations', { keys: { agg: keys.agg(p, RELEASE) }, args });
      }
    }),
  );
}

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < TICKS; i++) await work();
  return (performance.now() - start) / TICKS;
}

export const tick: Part = {
  name: 'tick',
  about: `a tick over ${LOCATIONS.toLocaleString('en')} open locations in ${PARTITIONS} partitions`,
  async run({ rounds }) {
    await using stack = new AsyncDisposableStack();
    const redis = await openRedis(stack, await startRedis(stack, 'no'));
    const rollout = running();
    await populate(redis, rollout);
    const once = async (): Promise<void> => {
      const next = decide(rollout, await redis.snapshots.aggregates(rollout), 2);
      // With conditions that don't hold there is nothing to write; a tick that decided anything would measure something else.
      if (next !== rollout) throw new Error('this tick was to decide nothing');
    };
    const { ours, bare } = await alternate(rounds, {
      ours: () => millisecondsOf(once),
      bare: () => millisecondsOf(() => readBare(redis)),
    });
    const row = { part: 'tick', what: 'reading and deciding', unit: 'ms' };
    return [compared(row, ours, { what: 'reading alone', values: bare })];
  },
};
