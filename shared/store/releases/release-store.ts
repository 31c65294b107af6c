/** Releases (what is published) and rollouts (how far it has come), and the files that belong to them. */
import type { Plan } from '#domain/plan/plan.ts';
import { isFinished, type Rollout } from '#domain/rollout/rollout.ts';
import type { Finding, Strategy } from '#domain/strategy/strategy.ts';
import type { Client } from '#store/connection/client.ts';
import type { Replicated } from '#store/connection/replicated.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from '#store/layout/keys.ts';

/** A published release; it never changes. */
export type Release = {
  id: string;
  strategy: Strategy;
  publishedAt: number;
  /** SHA-256 (hex) of release.yml as published and of fns.zip as served. */
  yml: string;
  zip: string;
  warnings: readonly Finding[];
};

/** `digest` is over the bytes as they were published: the same again is no error, others are. */
export type Publication = {
  release: Release;
  digest: string;
  files: { yml: Buffer; zip: Buffer };
  rollout: Rollout;
  plan: Plan;
};
export type Published = 'created' | 'same' | 'different';

type Deps = { client: Client; keys: Keys; replicated: Replicated };

export type ReleaseStore = ReturnType<typeof createReleaseStore>;

export function createReleaseStore(client: Client, keys: Keys, replicated: Replicated) {
  const deps = { client, keys, replicated };
  return {
    publish: (publication: Publication): Promise<Published> => publish(deps, publication),

    async release(id: string): Promise<Release | null> {
      return parse<Release>(await client.hget(keys.release(id), 'doc'));
    },

    /** A short id for a release that is being published. One that comes to nothing leaves a gap, which does no harm. */
    nextShortId: async (): Promise<string> => String(await client.incr(keys.shortIds)),

    file: (sha256: string): Promise<Buffer | null> => client.hgetBuffer(keys.bundle(sha256), 'file'),

    /** Releases in order of publishing. `after` is the last id of the page before; null: there is no such release. */
    async list(after: string | null, limit: number): Promise<string[] | null> {
      const rank = after === null ? -1 : await client.zrank(keys.releaseList, after);
      if (rank === null) return null;
      const start = rank + 1;
      return client.zrange(keys.releaseList, start, String(start + limit - 1));
    },

    ...rolloutCalls(deps),
    ...unfinishedCalls(deps),
    ...forgettingCalls(deps),
  };
}

const parse = <T>(doc: string | null | undefined): T | null => (doc == null ? null : (JSON.parse(doc) as T));

const rolloutOf = async ({ client, keys }: Deps, id: string): Promise<Rollout | null> =>
  parse<Rollout>(await client.hget(keys.rollout(id), 'doc'));

async function publish(
  { client, keys, replicated }: Deps,
  { release, digest, files, rollout, plan }: Publication,
): Promise<Published> {
  const before = await client.hget(keys.release(release.id), 'digest');
  if (before !== null && before !== digest) return 'different';
  // One claim for all that publish these bytes under this id: they succeed together, or are refused together.
  const claim = `@${release.id} ${digest}`;
  const bundles = [
    { key: keys.bundle(release.yml), bytes: files.yml },
    { key: keys.bundle(release.zip), bytes: files.zip },
  ];
  if (before === null)
    for (const { key, bytes } of bundles) await replicated(key, (on) => on.hset(key, { file: bytes, [claim]: '1' }));
  const both = { release: keys.release(release.id), rollout: keys.rollout(release.id) };
  const args = [digest, JSON.stringify(release), JSON.stringify(rollout), JSON.stringify(plan)];
  const reply = (await replicated(both.release, (on) => runScript(on, 'publish', { keys: both, args }))) as Published;
  // Other bytes came in between: what was written for these is in nobody's way, but would stay for ever.
  if (reply === 'different')
    for (const { key } of bundles) await runScript(client, 'drop-bundle', { keys: { bundle: key }, args: [claim] });
  // Also for the same bytes again: the process may have died right before, and the release would never be listed.
  else await replicated(keys.releaseList, (on) => on.zadd(keys.releaseList, 'NX', release.publishedAt, release.id));
  if (reply === 'created') await client.publish(keys.rolloutChanged, release.id);
  return reply;
}

/** The guarded write, with more fields of the hash; false: another writer was faster since `before` was read. */
async function writeWith(
  { keys, replicated }: Deps,
  before: Rollout,
  after: Rollout,
  fields: readonly string[],
): Promise<Rollout | false> {
  const next = { ...after, version: before.version + 1 };
  const key = keys.rollout(before.release);
  const args = [before.version, next.version, JSON.stringify(next), keys.rolloutChanged, before.release, ...fields];
  const written = await replicated(key, (on) => runScript(on, 'write-rollout', { keys: { rollout: key }, args }));
  return written === 1 && next;
}

function rolloutCalls(deps: Deps) {
  const { client, keys } = deps;
  return {
    rollout: (id: string): Promise<Rollout | null> => rolloutOf(deps, id),

    /** The whole plan, regions and all; what a rollout carries with it are its rules only. */
    plan: async (id: string): Promise<Plan | null> => parse<Plan>(await client.hget(keys.rollout(id), 'plan')),

    async versions(ids: readonly string[]): Promise<(number | null)[]> {
      const versions = await Promise.all(ids.map((id) => client.hget(keys.rollout(id), 'v')));
      return versions.map((v) => (v === null ? null : Number(v)));
    },

    /**
     * The guarded write. False: another writer was faster since `before` was read, and nothing has happened. `plan`: where it was
     * changed with the rules.
     */
    write: (before: Rollout, after: Rollout, plan?: Plan): Promise<Rollout | false> =>
      writeWith(deps, before, after, plan === undefined ? [] : ['plan', JSON.stringify(plan)]),

    /**
     * Has every scheduler that listens tick the rollout at once. It may be lost: the periodic tick alone is enough for
     * correctness.
     */
    requestTick: async (id: string): Promise<void> => void (await client.publish(keys.tickRequests, id)),
  };
}

function unfinishedCalls(deps: Deps) {
  const { client, keys, replicated } = deps;
  return {
    unfinished: (): Promise<string[]> => client.smembers(keys.unfinished),

    /** Those among the releases whose rollout is finished: they don't keep a child. */
    async finished(ids: readonly string[]): Promise<string[]> {
      const rollouts = await Promise.all(ids.map((id) => rolloutOf(deps, id)));
      return ids.filter((_, i) => isFinished(rollouts[i]?.state ?? 'aborted'));
    },

    /** Before a rollout starts: a process that crashes in between leaves an entry that does no harm. */
    addUnfinished: async (id: string): Promise<void> =>
      void (await replicated(keys.unfinished, (on) => on.sadd(keys.unfinished, id))),
    removeUnfinished: async (id: string): Promise<void> => void (await client.srem(keys.unfinished, id)),
  };
}

function forgettingCalls(deps: Deps) {
  const { client, keys } = deps;
  const isForgotten = async (id: string): Promise<boolean> =>
    (await client.hexists(keys.rollout(id), 'forgotten')) === 1;
  return {
    /** Releases whose children's records may go: their rollout ended before `before` (ms). */
    async endedBefore(before: number): Promise<Rollout[]> {
      const ids = await client.zrange(keys.releaseList, 0, '-1');
      const rollouts = await Promise.all(ids.map((id) => rolloutOf(deps, id)));
      return rollouts
        .filter((rollout) => rollout !== null)
        .filter(({ state, endedAt }) => isFinished(state) && endedAt !== null && endedAt < before);
    },

    /** What its children did is forgotten, or being forgotten. */
    isForgotten,

    /**
     * To be called before the first record goes. It's a guarded write, so that an operator who takes the release back at this
     * moment either comes first, and nothing may be forgotten (false), or learns of it.
     */
    noteForgotten: async (rollout: Rollout): Promise<boolean> =>
      (await isForgotten(rollout.release)) || (await writeWith(deps, rollout, rollout, ['forgotten', '1'])) !== false,
  };
}
