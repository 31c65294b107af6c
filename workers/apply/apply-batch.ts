/**
 * Applies a batch of messages: those of a kind, and results of a release, by one atomic Lua call for some of them at a
 * time. Every message is a join or a last-writer-wins, so a batch that is applied again, or half applied twice, changes
 * nothing.
 */
import type { HeartbeatMessage, IntakeMessage, JoinMessage, ResultMessage } from '#domain/child/messages.ts';
import { decodeMessage } from '#queue/message.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { Applied, Noted } from '#store/children/child-messages.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import type { DeadLetterStore } from '#store/children/dead-letter-store.ts';
import { isRefused } from '#store/connection/errors.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

/** Messages in one Lua call: enough to share its price, few enough that nobody else waits long for Redis. */
const AT_ONCE = 100;
/** A batch that killed its worker this often is applied message by message. */
const STALLS_BEFORE_CAUTION = 3;
/** In caution, a message whose trying was never finished this often becomes a dead letter. */
const TRIES_BEFORE_DEAD = 2;

export type BatchJob = { id: string; stalled: number; lines: string };

type Deps = {
  children: Pick<ChildStore, 'applyAll' | 'joinAll' | 'heartbeatAll' | 'announceChanged'>;
  deadLetters: DeadLetterStore;
  releases: Pick<ReleaseStore, 'requestTick'>;
  metrics: Metrics;
  log: Logger;
};

/** `changed`: releases whose counts it changed. */
type Outcome = { dead: string } | { changed: readonly string[] };
type Told = readonly [IntakeMessage, Outcome];
/** Messages that one Lua call may take together, with the call. */
type Group = { messages: IntakeMessage[]; apply(): Promise<Outcome[]> };

const NOTHING: Outcome = { changed: [] };

export function createBatchApplier(deps: Deps) {
  const { children, deadLetters, releases, metrics } = deps;

  /** Parked requests of these children are checked again, and their releases ticked. */
  async function tell(ids: readonly string[], names: ReadonlySet<string>): Promise<void> {
    if (ids.length > 0) await Promise.all([children.announceChanged(ids), ...[...names].map(releases.requestTick)]);
  }

  return async (partition: number, job: BatchJob): Promise<void> => {
    const messages: IntakeMessage[] = [];
    for (const line of job.lines.split('\n')) {
      const message = decodeMessage(line);
      if (message === null) await bury(deps, partition, line, 'it is no known message');
      else messages.push(message);
    }
    const cautious = job.stalled >= STALLS_BEFORE_CAUTION;
    const outcomes = cautious
      ? await oneByOne(deps, partition, job, messages)
      : await together(deps, partition, messages);
    const changed: string[] = [];
    const names = new Set<string>();
    for (const [message, outcome] of outcomes) {
      if ('dead' in outcome) await bury(deps, partition, message, outcome.dead);
      else if (outcome.changed.length > 0) changed.push(message.id);
      if ('changed' in outcome) for (const release of outcome.changed) names.add(release);
    }
    metrics.applied.inc(outcomes.length);
    await tell(changed, names);
    if (cautious) await deadLetters.forgetTries(partition, job.id);
  };
}

async function bury(
  { deadLetters, metrics, log }: Deps,
  partition: number,
  message: unknown,
  reason: string,
): Promise<void> {
  await deadLetters.bury(partition, message, reason);
  metrics.deadLetters.inc({ reason: reason.replace(/:.*/s, '') });
  log.warn({ partition, reason, message }, 'a message could not be applied and became a dead letter');
}

const refused = (why: string): Outcome => ({ dead: `Redis refused it: ${why}` });

function notedOutcome(noted: Noted): Outcome {
  if (typeof noted === 'number') return NOTHING;
  return 'why' in noted ? refused(noted.why) : { changed: noted.changed };
}

function appliedOutcome({ release }: ResultMessage, applied: Applied): Outcome {
  if (applied.code === 'refused') return refused(applied.why);
  if (applied.code === 'gone') return { dead: 'its child was deleted' };
  if (applied.code === 'absent') return { dead: 'its child is no longer enrolled' };
  return applied.code === 'ok' && applied.changed ? { changed: [release] } : NOTHING;
}

function groupsOf({ children }: Deps, p: number, messages: readonly IntakeMessage[]): Group[] {
  const joins: JoinMessage[] = [];
  const heartbeats: HeartbeatMessage[] = [];
  const results: ResultMessage[] = [];
  for (const message of messages)
    if (message.kind === 'join') joins.push(message);
    else if (message.kind === 'heartbeat') heartbeats.push(message);
    else results.push(message);
  const byRelease = Map.groupBy(results, ({ release }) => release);
  const groups: Group[] = slices(joins).map((some) => ({
    messages: some,
    apply: async () => (await children.joinAll(p, some)).map(notedOutcome),
  }));
  for (const some of [...byRelease.values()].flatMap(slices))
    groups.push({
      messages: some,
      async apply() {
        const all = await children.applyAll(p, some);
        return some.map((message, i) => appliedOutcome(message, all[i] ?? { code: 'absent' }));
      },
    });
  for (const some of slices(heartbeats))
    groups.push({
      messages: some,
      apply: async () => (await children.heartbeatAll(p, some)).map(notedOutcome),
    });
  return groups;
}

/** Errors that say nothing about a message fail the batch, which is then tried again as a whole. */
async function applyGroup(deps: Deps, p: number, { messages, apply }: Group): Promise<Outcome[]> {
  try {
    return await apply();
  } catch (error) {
    if (!isRefused(error)) throw error;
    if (messages.length === 1) return [refused((error as Error).message)];
    const alone = await Promise.all(
      messages.flatMap((message) => groupsOf(deps, p, [message])).map((group) => applyGroup(deps, p, group)),
    );
    return alone.flat();
  }
}

async function together(deps: Deps, p: number, messages: readonly IntakeMessage[]): Promise<Told[]> {
  const groups = groupsOf(deps, p, messages);
  const outcomes = await Promise.all(groups.map((group) => applyGroup(deps, p, group)));
  return groups.flatMap((group, g) => group.messages.map((message, i): Told => [message, outcomes[g]?.[i] ?? NOTHING]));
}

/** Each is noted before it's tried: the one that kills the worker becomes a dead letter alone. */
async function oneByOne(deps: Deps, p: number, job: BatchJob, messages: readonly IntakeMessage[]): Promise<Told[]> {
  const { deadLetters } = deps;
  const outcomes: Told[] = [];
  const tried = await deadLetters.tries(p, job.id);
  const order = [...messages.entries()].sort(([a], [b]) => Number(tried[a] ?? 0) - Number(tried[b] ?? 0));
  // Messages whose trying was never finished come last, so that the others are done before a worker may die again.
  for (const [i, message] of order) {
    if ((await deadLetters.beginTry(p, job.id, i)) > TRIES_BEFORE_DEAD) {
      outcomes.push([message, { dead: 'its worker died each time it was tried' }]);
      continue;
    }
    try {
      outcomes.push(...(await together(deps, p, [message])));
    } finally {
      // It was the message's or Redis' doing, not a worker's death.
      await deadLetters.endTry(p, job.id, i);
    }
  }
  return outcomes;
}

function slices<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / AT_ONCE) }, (_, i) => list.slice(i * AT_ONCE, (i + 1) * AT_ONCE));
}
