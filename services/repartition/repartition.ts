/**
 * Changes the number of partitions of a manager's data while no manager runs. Every step may be done again: a run that was
 * killed is gone on with by the next one, and managers don't start in between.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOf } from '#domain/ids.ts';
import { createIntakeProducer } from '#queue/producers.ts';
import { createKeys } from '#store/keys.ts';
import { type Begun, createLayoutStore, type LayoutStore } from '#store/layout.ts';
import { halfWay } from '#store/lease.ts';
import { SCHEMA } from '#store/schema.ts';
import type { Client } from '#store/redis.ts';
import { createStores, type Stores } from '#store/stores.ts';
import { forgetMoves, moveAll } from './move.ts';
import { scanPartitions } from './partition-keys.ts';
import { createRecount, isHalfWalked, keepSums, TOTALS } from './recount.ts';

const LOOK_MS = 500;

/** It isn't done; the message says what to do first. */
class NotNow extends Error {
  override name = 'NotNow';
}

export type Report = {
  /** A line for people. */
  say(line: string): void;
  /** Called between any two steps; it may throw to stop. */
  moved(children: number, of: number): void;
};

/** `releases`: what is counted of each. */
type Found = { children: number; strays: number; releases: ReadonlyMap<string, ReadonlySet<string>> };

export async function repartition(client: Client, prefix: string, to: number, report: Report): Promise<void> {
  const keys = createKeys(prefix);
  const layout = createLayoutStore(client, keys);
  const begun = await begin(layout, to, report);
  if (begun === 'same') return report.say(`the data has ${to} partitions: nothing to do`);
  const { from } = begun;
  let { step } = begun;
  let moved = 0;
  let strays = 0;
  const guard = (): void => {
    if (layout.isOvertaken())
      throw new NotNow('it stood still for so long that another may have taken over: run it again');
  };
  const pulse = (more = 0): void => {
    guard();
    report.moved((moved += more), strays);
  };
  try {
    const stores = createStores(client, keys, to);
    const found = await survey(client, prefix, to);
    const { children, releases } = found;
    ({ strays } = found);
    if (step === null) {
      await check(client, keys, from, stores.releases, [...releases.keys()]);
      await client.del(keys.recounts);
      for (const [release, counted] of releases) {
        guard();
        await keepSums(client, keys, from, release, counted);
      }
      step = 'move';
      await layout.reach(step);
    }
    report.say(`from ${from} to ${to} partitions: ${strays} of ${children} children move`);
    if (step === 'move') {
      await moveAll({ client, keys, prefix, to, pulse });
      await layout.reach('count');
    }
    guard();
    const recount = createRecount({ client, keys, ...stores, from, to, pulse });
    await recount((release) => report.say(`counted release ${release}`));
    await forgetMoves(client, keys, to);
    await layout.finish(to);
    guard();
    report.say(`done: ${children} children in ${to} partitions`);
  } catch (error) {
    await layout.leave(step !== null);
    throw error;
  }
}

/** Whoever was killed is told from who is at work by the lease: only the latter's grows. */
async function begin(layout: LayoutStore, to: number, report: Report): Promise<'same' | Begun> {
  const schema = await layout.schema();
  if (schema !== null && schema !== SCHEMA)
    throw new NotNow(`KEY_PREFIX names data of schema ${schema}, and this version knows schema ${SCHEMA} only`);
  let before: ReadonlyMap<string, number> | null = null;
  for (;;) {
    const begun = await layout.begin(to);
    if (begun.code === 'same') return 'same';
    if (begun.code === 'begun') return begun;
    if (begun.code === 'other') throw halfWay(begun.to);
    if (begun.code !== 'busy')
      throw new NotNow('no manager has kept data here yet: set PARTITIONS when it starts for the first time');
    const atWork = [...begun.until].find(([who, until]) => before !== null && until > (before.get(who) ?? 0));
    if (atWork?.[0].startsWith('mover:')) throw new NotNow('another "choir repartition" is at work on this data');
    if (atWork !== undefined) throw new NotNow('a manager is at work on this data: stop all of its processes first');
    if (before === null) report.say('somebody was at work here moments ago: waiting to see whether they still are');
    before = begun.until;
    await sleep(LOOK_MS);
  }
}

/** One look at all keys: a kind of key that isn't known here would be left behind. */
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

/** What can't be carried over: messages bear the partition in which they wait, and walks stand somewhere in theirs. */
async function check(
  client: Client,
  keys: ReturnType<typeof createKeys>,
  from: number,
  releases: Stores['releases'],
  found: readonly string[],
): Promise<void> {
  await using queues = new AsyncDisposableStack();
  const intake = await createIntakeProducer(client, keys, from, 0, queues);
  const waiting = await intake.unapplied();
  if (waiting > 0)
    throw new NotNow(
      `messages still wait to be applied (batches: ${waiting}): start the manager until they are through, then stop it`,
    );
  for (const release of found) {
    const rollout = await releases.rollout(release);
    if (rollout !== null && (await isHalfWalked(client, keys, from, rollout)))
      throw new NotNow(
        `release ${release} is just enrolling its children: start the manager until all partitions are through, or abort it`,
      );
  }
}
