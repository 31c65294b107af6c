/** Releases (what is published) and rollouts (how far it has come), and the files that belong to them. */
import type { Plan } from '#domain/plan.ts';
import { isFinished, type Rollout } from '#domain/rollout.ts';
import type { Finding, Strategy } from '#domain/strategy.ts';
import type { Keys } from './keys.ts';
import { type Client, unwrap } from './redis.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';

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

export type ReleaseStore = ReturnType<typeof createReleaseStore>;

export function createReleaseStore(client: Client, keys: Keys, replicated: Replicated) {
  const parse = <T>(doc: string | null | undefined): T | null => (doc == null ? null : (JSON.parse(doc) as T));

  const rolloutOf = async (id: string): Promise<Rollout | null> =>
    parse<Rollout>(await client.hget(keys.rollout(id), 'doc'));

  /** The guarded write, with more fields of the hash; false: somebody else wrote since `before` was read. */
  async function writeWith(before: Rollout, after: Rollout, fields: readonly string[]): Promise<Rollout | false> {
    const next = { ...after, version: before.version + 1 };
    const key = keys.rollout(before.release);
    const args = [before.version, next.version, JSON.stringify(next), keys.changes, before.release, ...fields];
    const written = await replicated(key, (on) => runScript(on, 'write-rollout', { rollout: key }, args));
    return written === 1 && next;
  }

  const isForgotten = async (id: string): Promise<boolean> =>
    (await client.hexists(keys.rollout(id), 'forgotten')) === 1;

  return {
    /** `digest` is over the bytes as they were published: the same again is no error, others are. */
    async publish(
      release: Release,
      digest: string,
      files: { yml: Buffer; zip: Buffer },
      rollout: Rollout,
      plan: Plan,
    ): Promise<'created' | 'same' | 'different'> {
      const before = await client.hget(keys.release(release.id), 'digest');
      if (before !== null && before !== digest) return 'different';
      // One claim for all who publish these bytes under this id: they succeed together, or are refused together.
      const claim = `@${release.id} ${digest}`;
      if (before === null)
        for (const [sha256, bytes] of [
          [release.yml, files.yml],
          [release.zip, files.zip],
        ] as const) {
          const key = keys.bundle(sha256);
          await replicated(key, (on) => on.hset(key, { file: bytes, [claim]: '1' }));
        }
      const both = { release: keys.release(release.id), rollout: keys.rollout(release.id) };
      const documents = [digest, JSON.stringify(release), JSON.stringify(rollout), JSON.stringify(plan)];
      const reply = (await replicated(both.release, (on) => runScript(on, 'publish', both, documents))) as
        | 'created'
        | 'same'
        | 'different';
      // Other bytes came in between: what was written for these is in nobody's way, but would stay for ever.
      if (reply === 'different')
        for (const sha256 of [release.yml, release.zip])
          await runScript(client, 'drop-bundle', { bundle: keys.bundle(sha256) }, [claim]);
      // Also for the same bytes again: the process may have died right before, and the release would never be listed.
      if (reply !== 'different')
        await replicated(keys.releases, (on) => on.zadd(keys.releases, 'NX', release.publishedAt, release.id));
      if (reply === 'created') await client.publish(keys.changes, release.id);
      return reply;
    },

    async release(id: string): Promise<Release | null> {
      return parse<Release>(await client.hget(keys.release(id), 'doc'));
    },

    /** A tag for a release that is being published. One that comes to nothing leaves a gap, which does no harm. */
    nextTag: async (): Promise<string> => String(await client.incr(keys.tags)),

    file: (sha256: string): Promise<Buffer | null> => client.hgetBuffer(keys.bundle(sha256), 'file'),

    rollout: rolloutOf,

    /** The whole plan, regions and all; what a rollout carries with it are its rules only. */
    plan: async (id: string): Promise<Plan | null> => parse<Plan>(await client.hget(keys.rollout(id), 'plan')),

    async versions(ids: readonly string[]): Promise<(number | null)[]> {
      const versions = await Promise.all(ids.map((id) => client.hget(keys.rollout(id), 'v')));
      return versions.map((v) => (v === null ? null : Number(v)));
    },

    /**
     * The guarded write. False: somebody else wrote since `before` was read, and nothing has happened. `plan`: where it was
     * changed with the rules.
     */
    write: (before: Rollout, after: Rollout, plan?: Plan): Promise<Rollout | false> =>
      writeWith(before, after, plan === undefined ? [] : ['plan', JSON.stringify(plan)]),

    /** What its children did is forgotten, or being forgotten. */
    isForgotten,

    /**
     * To be called before the first record goes. It's a guarded write, so that whoever takes the release back at this
     * moment either comes first, and nothing may be forgotten (false), or learns of it.
     */
    noteForgotten: async (rollout: Rollout): Promise<boolean> =>
      (await isForgotten(rollout.release)) || (await writeWith(rollout, rollout, ['forgotten', '1'])) !== false,

    /** Releases in order of publishing. `after` is the last id of the page before; null: there is no such release. */
    async list(after: string | null, limit: number): Promise<string[] | null> {
      const rank = after === null ? -1 : await client.zrank(keys.releases, after);
      if (rank === null) return null;
      const start = rank + 1;
      return client.zrange(keys.releases, start, String(start + limit - 1));
    },

    /**
     * "Look now": every scheduler that listens ticks the rollout at once. It may be lost: the periodic tick alone is enough
     * for correctness.
     */
    look: async (id: string): Promise<void> => void (await client.publish(keys.looks, id)),

    unfinished: (): Promise<string[]> => client.smembers(keys.unfinished),
    /** Those among the releases whose rollout is finished: they don't hold a child. */
    async finished(ids: readonly string[]): Promise<string[]> {
      const rollouts = await Promise.all(ids.map(rolloutOf));
      return ids.filter((_, i) => isFinished(rollouts[i]?.state ?? 'aborted'));
    },
    /** Releases whose children's records may go: their rollout ended before `before` (ms). */
    async endedBefore(before: number): Promise<Rollout[]> {
      const ids = await client.zrange(keys.releases, 0, '-1');
      const rollouts = await Promise.all(ids.map(rolloutOf));
      return rollouts
        .filter((rollout) => rollout !== null)
        .filter(({ state, endedAt }) => isFinished(state) && endedAt !== null && endedAt < before);
    },

    /** Before a rollout starts: whoever crashes in between leaves an entry that does no harm. */
    addUnfinished: async (id: string): Promise<void> =>
      void (await replicated(keys.unfinished, (on) => on.sadd(keys.unfinished, id))),
    removeUnfinished: async (id: string): Promise<void> => void (await client.srem(keys.unfinished, id)),

    /** Newest first; one list per partition. */
    async deadLetters(partitions: number, limit: number): Promise<string[]> {
      const pipelines = Array.from({ length: partitions }, (_, p) =>
        client
          .pipeline()
          .lrange(keys.dead(p), 0, limit - 1)
          .exec(),
      );
      const lists = await Promise.all(pipelines);
      return lists.flatMap((results) => unwrap(results)[0] as string[]).slice(0, limit);
    },
  };
}
