/** What children sent, applied to their hashes: each message whole or not at all. */
import type { HeartbeatMessage, JoinMessage, ReleaseRef, ResultMessage } from '#domain/child/messages.ts';
import type { ReleaseStatus } from '#domain/child/status.ts';
import type { Client } from '#store/connection/client.ts';
import { isTransient, replyError } from '#store/connection/errors.ts';
import type { Replicated } from '#store/connection/replicated.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from '#store/layout/keys.ts';

/** An agent that polls this long after its last message has dropped the release that it was running. */
const LEFT_AFTER_MS = 10_000;

/** What applying a message came to. `refused`: an error that it would always meet. */
export type Applied =
  | { code: 'ok'; changed: boolean; status: ReleaseStatus }
  | { code: 'absent' | 'gone' | 'stale' }
  | { code: 'refused'; why: string };

/** What a join or a heartbeat came to: a number, releases whose counts it changed, or why it was refused. */
export type Noted = number | { changed: string[] } | { why: string };

type Deps = { client: Client; keys: Keys; replicated: Replicated; partition(id: string): number };

export function createChildMessages({ client, keys, replicated, partition }: Deps) {
  const keysOf = (p: number, messages: readonly { id: string }[]): string[] =>
    messages.map(({ id }) => keys.child(p, id));
  const seenIn = (p: number) => ({ seen: keys.seen(p), late: keys.late(p) });

  async function applyOn(on: Client, p: number, messages: readonly ResultMessage[]): Promise<Applied[]> {
    const [first] = messages;
    if (first === undefined) return [];
    const { release, shortId } = first;
    const head = [release, shortId, LEFT_AFTER_MS, keys.aggOf(p, release, ''), keys.releases(p)];
    const replies = (await runScript(on, 'apply-results', {
      keys: {
        agg: keys.agg(p, release),
        index: keys.index(p, release),
        due: keys.due(p, release),
        ...seenIn(p),
      },
      more: keysOf(p, messages),
      args: [...head, ...resultArgs(messages)],
    })) as string[];
    return replies.map(parseApplied);
  }

  /** Applies one message for a child that waits for the answer. */
  async function applyNow(message: ResultMessage): Promise<Applied> {
    const p = partition(message.id);
    const [applied] = await replicated(keys.seen(p), (on) => applyOn(on, p, [message]));
    if (applied?.code === 'refused') throw replyError(applied.why);
    return applied ?? { code: 'absent' };
  }

  return {
    applyNow,

    /** Results of one partition and one release; one reply per message. */
    applyAll: (p: number, messages: readonly ResultMessage[]): Promise<Applied[]> => applyOn(client, p, messages),

    /** A download: Todo becomes Doing, at once and once only. */
    download: (id: string, { release, shortId }: ReleaseRef): Promise<Applied> =>
      applyNow({ kind: 'result', id, release, shortId, at: null, attempt: null, reports: [] }),

    /** Children of one partition; per message 1 if the child is new, else 0. */
    joinAll: async (p: number, messages: readonly Omit<JoinMessage, 'kind'>[]): Promise<Noted[]> =>
      parseNoted(
        await runScript(client, 'join', {
          keys: seenIn(p),
          more: keysOf(p, messages),
          args: [
            keys.releases(p),
            ...messages.flatMap(({ id, at, area, digest, childCount }) => [id, at, area, digest, childCount]),
          ],
        }),
      ),

    /** Heartbeats of children of one partition; per message 0 if there is no such child. */
    heartbeatAll: async (p: number, messages: readonly Omit<HeartbeatMessage, 'kind'>[]): Promise<Noted[]> =>
      parseNoted(
        await runScript(client, 'heartbeat', {
          keys: seenIn(p),
          more: keysOf(p, messages),
          args: [
            keys.releases(p),
            LEFT_AFTER_MS,
            ...messages.flatMap(({ id, at, release, shortId, by }) => [id, at, release, shortId, by]),
          ],
        }),
      ),

    /** Announces children for which there is something new. */
    announceChanged: async (ids: readonly string[]): Promise<void> =>
      void (await client.publish(keys.childChanged, ids.join(' '))),
  };
}

/** As apply-results.lua reads them: '' stands for null. */
function resultArgs(messages: readonly ResultMessage[]): (string | number)[] {
  const args: (string | number)[] = [];
  for (const { id, at, attempt, reports } of messages) {
    args.push(id, at ?? '', attempt ?? '', reports.length);
    for (const { stage, status, next, digest, summary } of reports) args.push(stage, status, next, digest, summary);
  }
  return args;
}

function parseApplied(reply: string): Applied {
  const [code, changed, status] = reply.split(' ');
  if (code === 'ok') return { code, changed: changed === '1', status: Number(status) as ReleaseStatus };
  if (code === 'refused') return { code, why: refusal(reply) };
  return { code: code as 'absent' | 'gone' | 'stale' };
}

/** Why a script refused a message; trouble that says nothing about the message is thrown. */
function refusal(reply: string): string {
  const why = reply.slice('refused '.length);
  if (isTransient(replyError(why))) throw replyError(why);
  return why;
}

const parseNoted = (replies: unknown): Noted[] =>
  (replies as (number | string)[]).map((reply) => {
    if (typeof reply === 'number') return reply;
    const [code, ...changed] = reply.split(' ');
    return code === 'changed' ? { changed } : { why: refusal(reply) };
  });
