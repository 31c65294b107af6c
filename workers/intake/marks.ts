/**
 * Marks children as lost or overdue, where a plan asks for it. Both are told by time in which the manager served, and only
 * once all that children sent before has been applied. A pass goes through a partition in pages; where it has looked at as
 * many as a job may, the next job goes on.
 */
import { isFinished, type Rollout } from '#domain/rollout.ts';
import { cutoff } from '#domain/silence.ts';
import type { IntakeProducer } from '#queue/producers.ts';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { MarksStore } from '#store/marks-store.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { ReleaseStore } from '#store/release-store.ts';
import type { ServedStore } from '#store/served.ts';

const PAGE = 250;
/** Of a partition and a release, in one job. */
const PAGES = 40;
const PASSES_PER_LIMIT = 6;
const AT_LEAST_EVERY_MS = 2_000;
/** Batches that were written up to so long ago have been applied. */
const APPLIED_MS = 1_000;
/** A sign is kept back for so long after the last one, whatever the precision is. */
const SIGN_TAKES_MS = 2_000;

type Deps = {
  children: Pick<ChildStore, 'partitions' | 'bySeen'>;
  marks: MarksStore;
  served: Pick<ServedStore, 'read'>;
  releases: Pick<ReleaseStore, 'unfinished' | 'rollout' | 'look'>;
  intake: Pick<IntakeProducer, 'pendingSince'>;
  clock: Clock;
  config: Pick<Config, 'seenPrecisionMs' | 'holdMs'>;
  log: Logger;
};

/** Where the pass over a partition stands. */
type Pass = { release: string; cursor: number };

export function createMarker({ children, marks, served, releases, intake, clock, config, log }: Deps) {
  const passes = new Map<string, Pass>();
  const lastPass = new Map<string, number>();
  let busy = false;

  /** A last-seen time may be so much older than the last sign of life; a held request makes no other one. */
  const slackMs = Math.max(config.seenPrecisionMs, SIGN_TAKES_MS) + APPLIED_MS + config.holdMs;

  async function markLost(p: number, rollout: Rollout, silentSince: number): Promise<number> {
    const { release, freshSince, plan } = rollout;
    const key = `${release} ${p}`;
    // Whoever was silent when it was started isn't in it; but a version is taken back from everyone who has it.
    const first = plan.compensates === null ? freshSince - 1 : 0;
    let { cursor } = passes.get(key) ?? { cursor: first };
    passes.delete(key);
    let marked = 0;
    for (let page = 0; cursor < silentSince; page++) {
      if (page === PAGES) {
        passes.set(key, { release, cursor });
        break;
      }
      const batch = await children.bySeen(p, cursor, PAGE);
      marked += (await marks.markLost(p, rollout, batch.ids, silentSince)).length;
      if (batch.last) break;
      ({ cursor } = batch);
    }
    return marked;
  }

  async function markOverdue(p: number, rollout: Rollout, before: number): Promise<number> {
    let marked = 0;
    let passedOver = 0;
    for (let page = 0; page < PAGES; page++) {
      const ids = await marks.longInStage(p, rollout, before, passedOver, PAGE);
      const found = await marks.markOverdue(p, rollout, ids, before);
      // Those that are marked leave the list.
      passedOver += ids.length - found.length;
      marked += found.length;
      if (ids.length < PAGE) break;
    }
    return marked;
  }

  async function pass(rollout: Rollout): Promise<void> {
    const { release } = rollout;
    const { lostAfterMs, deadline } = rollout.plan;
    await marks.arm(rollout);
    let lost = 0;
    let overdue = 0;
    for (let p = 0; p < children.partitions; p++) {
      const now = clock.now();
      const { lastServed, gaps } = await served.read();
      // Nobody could have said anything yet.
      if (lastServed === null || (await intake.pendingSince(p, now - APPLIED_MS))) continue;
      const since = (ms: number): number => cutoff(now, ms, lastServed, gaps);
      if (lostAfterMs !== null) lost += await markLost(p, rollout, since(lostAfterMs + slackMs));
      if (deadline !== null) overdue += await markOverdue(p, rollout, since(deadline.afterMs));
    }
    if (lost + overdue === 0) return;
    log.info({ release, lost, overdue }, 'children were marked');
    await releases.look(release);
  }

  async function passAll(): Promise<void> {
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
      await pass(rollout);
    }
  }

  /** One look at all rollouts. */
  return async (): Promise<void> => {
    // Jobs come by the clock, however long the last one takes.
    if (busy) return;
    busy = true;
    try {
      await passAll();
    } finally {
      busy = false;
    }
  };
}

function isWatched({ state, plan }: Rollout): boolean {
  if (isFinished(state) || (plan.lostAfterMs === null && plan.deadline === null)) return false;
  return state === 'running' || state === 'reverting';
}

function everyMs({ plan: { lostAfterMs, deadline } }: Rollout): number {
  const shortest = Math.min(lostAfterMs ?? Infinity, deadline?.afterMs ?? Infinity);
  return Math.max(AT_LEAST_EVERY_MS, shortest / PASSES_PER_LIMIT) - APPLIED_MS / 2;
}
