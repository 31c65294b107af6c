/**
 * Applies a batch of messages, each by one atomic Lua call, all in one round trip. Every message is a join or a
 * last-writer-wins, so a batch that is applied again, or half applied twice, changes nothing.
 */
import { type IntakeMessage, intakeMessage } from '#queue/catalogue.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import { type ChildStore, parseApplied } from '#store/child-store.ts';
import type { Keys } from '#store/keys.ts';
import { type Client, isRefused } from '#store/redis.ts';
import type { ChainableCommander } from 'ioredis';

/** A batch that killed its worker this often is applied message by message. */
const STALLS_BEFORE_CAUTION = 3;
/** In caution, a message whose trying was never finished this often is set aside. */
const TRIES_BEFORE_DEAD = 2;
const DEAD_LETTERS_KEPT = 100_000;
const TRIED_FOR_S = 86_400;

export type BatchJob = { id: string; stalled: number; messages: readonly unknown[] };

type Deps = {
  client: Client;
  keys: Keys;
  children: ChildStore;
  kick(release: string): Promise<void>;
  metrics: Metrics;
  log: Logger;
};

type Outcome = { dead: string } | { changed: string | null };

export function createBatchApplier({ client, keys, children, kick, metrics, log }: Deps) {
  function send(message: IntakeMessage, on: Client | ChainableCommander): Promise<unknown> {
    if (message.k === 'join') return children.join(message, on);
    if (message.k === 'sign') return children.heartbeat(message, on);
    return children.apply(message, on);
  }

  function outcomeOf(message: IntakeMessage, reply: unknown): Outcome {
    metrics.applied.inc({ kind: message.k });
    if (message.k !== 'result') return { changed: null };
    const applied = parseApplied(reply);
    if (applied.code === 'gone') return { dead: 'its child was deleted' };
    if (applied.code === 'absent') return { dead: 'its child is no longer enrolled' };
    return { changed: applied.code === 'ok' && applied.changed ? message.release : null };
  }

  async function bury(partition: number, message: unknown, reason: string): Promise<void> {
    const entry = JSON.stringify({ at: new Date().toISOString(), reason, message });
    await client.lpush(keys.dead(partition), entry);
    await client.ltrim(keys.dead(partition), 0, DEAD_LETTERS_KEPT - 1);
    metrics.deadLetters.inc({ reason });
    log.warn({ partition, reason, message }, 'a message was set aside: it could not be applied');
  }

  /** Errors that say nothing about a message fail the batch, which is then tried again as a whole. */
  function verdict(message: IntakeMessage, error: Error | null, reply: unknown): Outcome {
    if (error === null) return outcomeOf(message, reply);
    if (!isRefused(error)) throw error;
    return { dead: `Redis refused it: ${error.message}` };
  }

  async function together(messages: readonly IntakeMessage[]): Promise<Outcome[]> {
    const pipeline = client.pipeline();
    for (const message of messages) void send(message, pipeline);
    const replies = (await pipeline.exec()) ?? [];
    return messages.map((message, i) => {
      const [error, reply] = replies[i] ?? [new Error('the pipeline was dropped'), null];
      return verdict(message, error, reply);
    });
  }

  /** One by one, each marked before it's tried: the one that kills the worker goes to the dead letters alone. */
  async function carefully(partition: number, job: BatchJob, messages: readonly IntakeMessage[]): Promise<Outcome[]> {
    const marks = keys.tried(partition, job.id);
    const outcomes: Outcome[] = [];
    const tried = await client.hgetall(marks);
    const order = [...messages.entries()].sort(([a], [b]) => Number(tried[a] ?? 0) - Number(tried[b] ?? 0));
    // Those whose trying was never finished come last, so that the others are through before a worker may die again.
    for (const [i, message] of order) {
      const tries = await client.hincrby(marks, String(i), 1);
      await client.expire(marks, TRIED_FOR_S);
      if (tries > TRIES_BEFORE_DEAD) {
        outcomes[i] = { dead: 'its worker died each time it was tried' };
        continue;
      }
      const [error, reply] = await send(message, client).then(
        (value) => [null, value] as const,
        (reason: Error) => [reason, null] as const,
      );
      // It was the message's or Redis' doing, not a worker's death.
      await client.hset(marks, String(i), 0);
      outcomes[i] = verdict(message, error, reply);
    }
    return outcomes;
  }

  return async (partition: number, job: BatchJob): Promise<void> => {
    const parsed = job.messages.map((raw) => ({ raw, result: intakeMessage.safeParse(raw) }));
    const messages = parsed.flatMap(({ result }) => (result.success ? [result.data] : []));
    const outcomes =
      job.stalled >= STALLS_BEFORE_CAUTION ? await carefully(partition, job, messages) : await together(messages);
    for (const { raw, result } of parsed) if (!result.success) await bury(partition, raw, 'it is no known message');
    const changed = new Set<string>();
    for (const [i, outcome] of outcomes.entries())
      if ('dead' in outcome) await bury(partition, messages[i], outcome.dead);
      else if (outcome.changed !== null) changed.add(outcome.changed);
    for (const release of changed) await kick(release);
    await client.del(keys.tried(partition, job.id));
  };
}
