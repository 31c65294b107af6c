/**
 * Flags children as lost or overdue, where a plan asks for it. Both are told by time in which the manager served, and only
 * once all that children sent before has been applied. A pass goes through a partition in pages; where it has read as
 * many as a job may, the next job goes on.
 */
import { cutoff } from '#domain/child/silence.ts';
import { isFinished, type Rollout } from '#domain/rollout/rollout.ts';
import type { IntakeProducer } from '#queue/intake-producer.ts';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import type { FlagStore } from '#store/children/flag-store.ts';
import type { ServedStore } from '#store/children/served-store.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

const PAGE = 250;
/** Of a partition and a release, in one job. */
const PAGES = 40;
const PASSES_PER_LIMIT = 6;
const AT_LEAST_EVERY_MS = 2_000;
/** Batches that were written up to so long ago have been applied. */
const APPLIED_MS = 1_000;
/** A heartbeat is kept back for so long after the last one, whatever the precision is. */
const HEARTBEAT_TAKES_MS = 2_000;

type Deps = {
  children: Pick<ChildStore, 'partitions' | 'bySeen'>;
  flags: FlagStore;
  served: Pick<ServedStore, 'read'>;
  releases: Pick<ReleaseStore, 'unfinished' | 'rollout' | 'requestTick'>;
  intake: Pick<IntakeProducer, 'pendingSince'>;
  clock: Clock;
  config: Pick<Config, 'seenPrecisionMs' | 'longPollMs'>;
  log: Logger;
};

/** Where the pass over a partition stands. */
type Pass = { release: string; cursor: number };

type Flagger = Deps & {
  passes: Map<string, Pass>;
  lastPass: Map<string, number>;
  /** A last-seen time may be so much older than the last heartbeat; a parked request makes no other one. */
  slackMs: number;
};

export function createChildFlagger(deps: Deps) {
  const { seenPrecisionMs, longPollMs } = deps.config;
  const slackMs = Math.max(seenPrecisionMs, HEARTBEAT_TAKES_MS) + APPLIED_MS + longPollMs;
  const flagger: Flagger = { ...deps, passes: new Map(), lastPass: new Map(), slackMs };
  let busy = false;

  /** One pass over all rollouts. */
  return async (): Promise<void> => {
    // Jobs come by the clock, however long the last one takes.
    if (busy) return;
    busy = true;
    try {
      await passAll(flagger);
    } finally {
      busy = false;
    }
  };
}

async function passAll(flagger: Flagger): Promise<void> {
  const { releases, lastPass, passes, clock } = flagger;
  const ids = await releases.unfinished();
  for (const id of lastPass.keys()) if (!ids.includes(id)) lastPass.delete(id);
  for (const [key, { release }] of passes) if (!ids.includes(release)) passes.delete(key);
  for (const id of ids) {
    const rollout = await releases.rollout(id);
    if (rollout === null || !isWatched(rollout)) continue;
    const now = clock.now();
    const isUnderway = [...passes.values()].some(({ release }) => release === id);
    if (!isUnderway && now - (lastPass.get(id) ?? 0) < everyMs(rollout)) continue;
    lastPass.set(id, now);
    await pass(flagger, rollout);
  }
}

async function pass(flagger: Flagger, rollout: Rollout): Promise<void> {
  const { children, flags, served, intake, clock, releases, slackMs, log } = flagger;
  const { release } = rollout;
  const { lostAfterMs, deadline } = rollout.plan;
  await flags.watch(rollout);
  let lost = 0;
  let overdue = 0;
  for (let p = 0; p < children.partitions; p++) {
    const now = clock.now();
    const { lastServed, gaps } = await served.read();
    // No child could have said anything yet.
    if (lastServed === null || (await intake.pendingSince(p, now - APPLIED_MS))) continue;
    const since = (ms: number): number => cutoff(now, ms, lastServed, gaps);
    if (lostAfterMs !== null) lost += await flagLost(flagger, p, rollout, since(lostAfterMs + slackMs));
    if (deadline !== null) overdue += await flagOverdue(flagger, p, rollout, since(deadline.afterMs));
  }
  if (lost + overdue === 0) return;
  log.info({ release, lost, overdue }, 'children were flagged');
  await releases.requestTick(release);
}

async function flagLost(
  { passes, children, flags }: Flagger,
  p: number,
  rollout: Rollout,
  silentSince: number,
): Promise<number> {
  const { release, freshSince, plan } = rollout;
  const key = `${release} ${p}`;
  // A child that was silent at the start isn't in it; but a version is taken back from every child that has it.
  const first = plan.compensates === null ? freshSince - 1 : 0;
  let { cursor } = passes.get(key) ?? { cursor: first };
  passes.delete(key);
  let flagged = 0;
  for (let page = 0; cursor < silentSince; page++) {
    if (page === PAGES) {
      passes.set(key, { release, cursor });
      break;
    }
    const batch = await children.bySeen(p, cursor, PAGE);
    flagged += (await flags.flagLost(p, rollout, batch.ids, silentSince)).length;
    if (batch.last) break;
    ({ cursor } = batch);
  }
  return flagged;
}

async function flagOverdue({ flags }: Flagger, p: number, rollout: Rollout, before: number): Promise<number> {
  let flagged = 0;
  let passedOver = 0;
  for (let page = 0; page < PAGES; page++) {
    const ids = await flags.longInStage(p, rollout, before, { offset: passedOver, limit: PAGE });
    const found = await flags.flagOverdue(p, rollout, ids, before);
    // Those that are flagged leave the list.
    passedOver += ids.length - found.length;
    flagged += found.length;
    if (ids.length < PAGE) break;
  }
  return flagged;
}

function isWatched({ state, plan }: Rollout): boolean {
  if (isFinished(state) || (plan.lostAfterMs === null && plan.deadline === null)) return false;
  return state === 'running' || state === 'reverting';
}

function everyMs({ plan: { lostAfterMs, deadline } }: Rollout): number {
  const shortest = Math.min(lostAfterMs ?? Infinity, deadline?.afterMs ?? Infinity);
  return Math.max(AT_LEAST_EVERY_MS, shortest / PASSES_PER_LIMIT) - APPLIED_MS / 2;
}
