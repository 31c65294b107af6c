/**
 * Applies a batch of messages: those of a kind, and results of a release, by one atomic Lua call for some of them at a
 * time. Every message is a join or a last-writer-wins, so a batch that is applied again, or half applied twice, changes
 * nothing.
 */
import {
  decodeMessage,
  type IntakeMessage,
  type JoinMessage,
  type ResultMessage,
  type SignMessage,
} from '#queue/message.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { Applied, ChildStore, Noted } from '#store/child-store.ts';
import type { Keys } from '#store/keys.ts';
import { type Client, isRefused } from '#store/redis.ts';
import type { ReleaseStore } from '#store/release-store.ts';

/** Messages in one Lua call: enough to share its price, few enough that nobody else waits long for Redis. */
const AT_ONCE = 100;
/** A batch that killed its worker this often is applied message by message. */
const STALLS_BEFORE_CAUTION = 3;
/** In caution, a message whose trying was never finished this often is set aside. */
const TRIES_BEFORE_DEAD = 2;
const DEAD_LETTERS_KEPT = 100_000;
const TRIED_FOR_S = 86_400;

export type BatchJob = { id: string; stalled: number; lines: string };

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'applyAll' | 'joinAll' | 'heartbeatAll' | 'moved'>;
  releases: Pick<ReleaseStore, 'look'>;
  metrics: Metrics;
  log: Logger;
};

/** `changed`: releases whose counts it changed. */
type Outcome = { dead: string } | { changed: readonly string[] };
/** Messages that one Lua call may take together, with the call. */
type Group = { messages: IntakeMessage[]; apply(): Promise<Outcome[]> };

const NOTHING: Outcome = { changed: [] };

export function createBatchApplier({ client, keys, children, releases, metrics, log }: Deps) {
  const refused = (why: string): Outcome => ({ dead: `Redis refused it: ${why}` });
  function notedOutcome(noted: Noted): Outcome {
    if (typeof noted === 'number') return NOTHING;
    return 'why' in noted ? refused(noted.why) : { changed: noted.moved };
  }

  function appliedOutcome({ release }: ResultMessage, applied: Applied): Outcome {
    if (applied.code === 'refused') return refused(applied.why);
    if (applied.code === 'gone') return { dead: 'its child was deleted' };
    if (applied.code === 'absent') return { dead: 'its child is no longer enrolled' };
    return applied.code === 'ok' && applied.changed ? { changed: [release] } : NOTHING;
  }

  const joins = (p: number, messages: JoinMessage[]): Group => ({
    messages,
    apply: async () => (await children.joinAll(p, messages)).map(notedOutcome),
  });
  const signs = (p: number, messages: SignMessage[]): Group => ({
    messages,
    apply: async () => (await children.heartbeatAll(p, messages)).map(notedOutcome),
  });
  const results = (p: number, messages: [ResultMessage, ...ResultMessage[]]): Group => ({
    messages,
    apply: async () => {
      const all = await children.applyAll(p, messages[0], messages);
      return messages.map((message, i) => appliedOutcome(message, all[i] ?? { code: 'absent' }));
    },
  });

  function groupsOf(p: number, messages: readonly IntakeMessage[]): Group[] {
    const groups: Group[] = [];
    const byRelease = Map.groupBy(
      messages.filter((message) => message.k === 'result'),
      ({ release }) => release,
    );
    for (const some of slices(messages.filter(({ k }) => k === 'join'))) groups.push(joins(p, some as JoinMessage[]));
    for (const ofRelease of byRelease.values())
      for (const some of slices(ofRelease)) groups.push(results(p, some as [ResultMessage, ...ResultMessage[]]));
    for (const some of slices(messages.filter(({ k }) => k === 'sign'))) groups.push(signs(p, some as SignMessage[]));
    return groups;
  }

  async function bury(partition: number, message: unknown, reason: string): Promise<void> {
    const entry = JSON.stringify({ at: new Date().toISOString(), reason, message });
    await client.lpush(keys.dead(partition), entry);
    await client.ltrim(keys.dead(partition), 0, DEAD_LETTERS_KEPT - 1);
    metrics.deadLetters.inc({ reason: reason.replace(/:.*/s, '') });
    log.warn({ partition, reason, message }, 'a message was set aside: it could not be applied');
  }

  /** Errors that say nothing about a message fail the batch, which is then tried again as a whole. */
  async function applyGroup(p: number, { messages, apply }: Group): Promise<Outcome[]> {
    try {
      return await apply();
    } catch (error) {
      if (!isRefused(error)) throw error;
      if (messages.length === 1) return [refused((error as Error).message)];
      const alone = await Promise.all(
        messages.flatMap((message) => groupsOf(p, [message])).map((group) => applyGroup(p, group)),
      );
      return alone.flat();
    }
  }

  async function together(p: number, messages: readonly IntakeMessage[]): Promise<[IntakeMessage, Outcome][]> {
    const groups = groupsOf(p, messages);
    const outcomes = await Promise.all(groups.map((group) => applyGroup(p, group)));
    return groups.flatMap((group, g) =>
      group.messages.map((message, i): [IntakeMessage, Outcome] => [message, outcomes[g]?.[i] ?? NOTHING]),
    );
  }

  /** One by one, each marked before it's tried: the one that kills the worker goes to the dead letters alone. */
  async function carefully(
    p: number,
    job: BatchJob,
    messages: readonly IntakeMessage[],
  ): Promise<[IntakeMessage, Outcome][]> {
    const marks = keys.tried(p, job.id);
    const outcomes: [IntakeMessage, Outcome][] = [];
    const tried = await client.hgetall(marks);
    const order = [...messages.entries()].sort(([a], [b]) => Number(tried[a] ?? 0) - Number(tried[b] ?? 0));
    // Those whose trying was never finished come last, so that the others are through before a worker may die again.
    for (const [i, message] of order) {
      const tries = await client.hincrby(marks, String(i), 1);
      await client.expire(marks, TRIED_FOR_S);
      if (tries > TRIES_BEFORE_DEAD) {
        outcomes.push([message, { dead: 'its worker died each time it was tried' }]);
        continue;
      }
      try {
        outcomes.push(...(await together(p, [message])));
      } finally {
        // It was the message's or Redis' doing, not a worker's death.
        await client.hset(marks, String(i), 0);
      }
    }
    return outcomes;
  }

  /** Whoever holds an answer for one of these children looks again. */
  async function tell(ids: readonly string[], names: ReadonlySet<string>): Promise<void> {
    if (ids.length > 0) await Promise.all([children.moved(ids), ...[...names].map(releases.look)]);
  }

  return async (partition: number, job: BatchJob): Promise<void> => {
    const messages: IntakeMessage[] = [];
    for (const line of job.lines.split('\n')) {
      const message = decodeMessage(line);
      if (message === null) await bury(partition, line, 'it is no known message');
      else messages.push(message);
    }
    const cautious = job.stalled >= STALLS_BEFORE_CAUTION;
    const outcomes = cautious ? await carefully(partition, job, messages) : await together(partition, messages);
    const moved: string[] = [];
    const names = new Set<string>();
    for (const [message, outcome] of outcomes) {
      if ('dead' in outcome) await bury(partition, message, outcome.dead);
      else if (outcome.changed.length > 0) moved.push(message.id);
      if ('changed' in outcome) for (const release of outcome.changed) names.add(release);
    }
    metrics.applied.inc(outcomes.length);
    await tell(moved, names);
    if (cautious) await client.del(keys.tried(partition, job.id));
  };
}

function slices<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / AT_ONCE) }, (_, i) => list.slice(i * AT_ONCE, (i + 1) * AT_ONCE));
}
