/**
 * Changes the number of partitions of a manager's data while no manager runs. Every step may be done again: a run that was
 * killed is gone on with by the next one, and managers don't start in between.
 */
import { partitionOf } from '#domain/ids.ts';
import { createIntakeProducer } from '#queue/intake-producer.ts';
import type { Client } from '#store/connection/client.ts';
import { createKeys, type Keys } from '#store/layout/keys.ts';
import { halfWay } from '#store/layout/lease.ts';
import { type Begun, createRepartitionStore, type RepartitionStore } from '#store/layout/repartition-store.ts';
import { otherSchema, SCHEMA } from '#store/layout/schema.ts';
import { createStores, type Stores } from '#store/stores.ts';
import { beginAlone, NotNow, refuseOvertaken } from '../offline/alone.ts';
import { forgetMoves, moveAll } from './move.ts';
import { scanPartitions } from './partition-keys.ts';
import { createRecount, isHalfEnrolled } from './recount.ts';
import { keepSums, TOTALS } from './sums.ts';

export type Report = {
  /** A line that people read. */
  say(line: string): void;
  /** Called between any two steps; it may throw to stop. */
  moved(children: number, of: number): void;
};

/** `releases`: what is counted of each. */
type Found = { children: number; strays: number; releases: ReadonlyMap<string, ReadonlySet<string>> };

/** The data that a run works on. `to`: how many partitions there are to be. */
type Run = { client: Client; keys: Keys; prefix: string; to: number; store: RepartitionStore; report: Report };

export async function repartition(client: Client, prefix: string, to: number, report: Report): Promise<void> {
  const keys = createKeys(prefix);
  const store = createRepartitionStore(client, keys, to);
  const run: Run = { client, keys, prefix, to, store, report };
  const begun = await begin(run);
  if (begun === 'same') return report.say(`the data has ${to} partitions: nothing to do`);
  const progress = { step: begun.step };
  try {
    await proceed(run, begun.from, progress);
  } catch (error) {
    await store.leave(progress.step !== null);
    throw error;
  }
}

async function proceed(run: Run, from: number, progress: Pick<Begun, 'step'>): Promise<void> {
  const { client, keys, prefix, to, store, report } = run;
  const stores = createStores(client, keys, to);
  const { children, strays, releases } = await survey(client, prefix, to);
  let moved = 0;
  const pulse = (more = 0): void => {
    refuseOvertaken(store);
    report.moved((moved += more), strays);
  };
  if (progress.step === null) {
    await check(run, from, stores.releases, [...releases.keys()]);
    await client.del(keys.recounts);
    for (const [release, counted] of releases) {
      refuseOvertaken(store);
      await keepSums({ client, keys, partitions: from }, release, counted);
    }
    progress.step = 'move';
    await store.reach('move');
  }
  report.say(`from ${from} to ${to} partitions: ${strays} of ${children} children move`);
  if (progress.step === 'move') {
    await moveAll({ client, keys, prefix, to, pulse });
    await store.reach('count');
  }
  refuseOvertaken(store);
  const recount = createRecount({ client, keys, ...stores, from, to, pulse });
  await recount((release) => report.say(`counted release ${release}`));
  await forgetMoves(client, keys, to);
  await store.finish();
  refuseOvertaken(store);
  report.say(`done: ${children} children in ${to} partitions`);
}

async function begin({ store, report }: Run): Promise<'same' | Begun> {
  const schema = await store.schema();
  if (schema !== null && schema !== SCHEMA) throw new NotNow(otherSchema(schema));
  const begun = await beginAlone(() => store.begin(), report.say);
  if (begun.code === 'same') return 'same';
  if (begun.code === 'begun') return begun;
  if (begun.code === 'other') throw halfWay(begun.to);
  throw new NotNow('no manager has kept data here yet: set PARTITIONS when it starts for the first time');
}

/** Reads the names of all keys: a kind of key that isn't known here would be left behind. */
async function survey(client: Client, prefix: string, to: number): Promise<Found> {
  const releases = new Map<string, Set<string>>();
  let children = 0;
  let strays = 0;
  for await (const batch of scanPartitions(client, prefix))
    for (const { key, kind, of, what, p } of batch) {
      if (kind === 'unknown') throw new NotNow(`this version doesn't know what the key ${key} is`);
      if (kind !== 'child' && of !== '') {
        const counted = releases.get(of) ?? new Set<string>([TOTALS]);
        releases.set(of, kind === 'counts' ? counted.add(what) : counted);
      }
      if (kind !== 'child') continue;
      children++;
      if (partitionOf(of, to) !== p) strays++;
    }
  return { children, strays, releases };
}

/** What can't be carried over: messages bear the partition in which they wait, and jobs stand somewhere in theirs. */
async function check(
  { client, keys }: Run,
  from: number,
  releases: Stores['releases'],
  found: readonly string[],
): Promise<void> {
  await using queues = new AsyncDisposableStack();
  const intake = await createIntakeProducer({ connection: client, keys, partitions: from, replicas: 0 }, queues);
  const waiting = await intake.unapplied();
  if (waiting > 0)
    throw new NotNow(
      `messages still wait to be applied (batches: ${waiting}): start the manager until they are applied, then stop it`,
    );
  for (const release of found) {
    const rollout = await releases.rollout(release);
    if (rollout !== null && (await isHalfEnrolled({ client, keys, partitions: from }, rollout)))
      throw new NotNow(
        `release ${release} is just enrolling its children: start the manager until all partitions are complete, or abort it`,
      );
  }
}
