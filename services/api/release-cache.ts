/**
 * The API's copy of releases and rollouts: a poll and `/end_stage` are answered from it. Told of changes by pub/sub, and
 * refreshed at least each second, so that a lost message costs a second.
 */
import type { Rollout } from '#domain/rollout.ts';
import type { Logger } from '#runtime/log.ts';
import type { Keys } from '#store/keys.ts';
import type { Client } from '#store/redis.ts';
import type { Release, ReleaseStore } from '#store/release-store.ts';
import type { FileCache } from './file-cache.ts';

const REFRESH_MS = 1_000;

export type Entry = { release: Release; rollout: Rollout; stageIndex: ReadonlyMap<string, number> };

export type ReleaseCache = Awaited<ReturnType<typeof createReleaseCache>>;

export async function createReleaseCache(
  store: ReleaseStore,
  subscriber: Client,
  keys: Keys,
  files: FileCache,
  changed: (id: string) => void,
  log: Logger,
  stack: AsyncDisposableStack,
) {
  const entries = new Map<string, Entry>();
  let unfinished = new Set<string>();
  let changes = 0;
  const quietly = (work: Promise<unknown>): void =>
    void work.catch((error: Error) => log.debug({ error: error.message }, 'the copy of rollouts is not fresh'));

  /** Once a release runs its files must be at hand, also while Redis is away: refusing them ends an agent. */
  function warm({ yml, zip }: Release): void {
    quietly(files.get(yml));
    quietly(files.get(zip));
  }

  function keep(release: Release, rollout: Rollout): Entry {
    const { id } = release;
    const current = entries.get(id);
    // News may overtake one another: the newer version stays.
    if (current !== undefined && current.rollout.version >= rollout.version) return current;
    const stageIndex = new Map(release.strategy.stages.map((stage, i) => [stage.name, i]));
    const entry = { release, rollout, stageIndex };
    entries.set(id, entry);
    changes++;
    if (rollout.state === 'running') warm(release);
    changed(id);
    return entry;
  }

  async function load(id: string): Promise<Entry | null> {
    const known = entries.get(id)?.release;
    const [release, rollout] = await Promise.all([known ?? store.release(id), store.rollout(id)]);
    if (release === null || rollout === null) return null;
    return keep(release, rollout);
  }

  async function refresh(): Promise<void> {
    const now = new Set(await store.unfinished());
    // Those that have just left the set too: otherwise their last change would be missed.
    const ids = [...new Set([...now, ...unfinished])];
    const versions = await store.versions(ids);
    const stale = ids.filter((id, i) => versions[i] !== entries.get(id)?.rollout.version);
    await Promise.all(stale.map((id) => load(id)));
    unfinished = now;
  }

  subscriber.on('message', (channel: string, text: string) => {
    if (channel !== keys.changes) return;
    const [id = ''] = text.split(' ', 1);
    const known = entries.get(id);
    if (known === undefined || id.length === text.length) return quietly(load(id));
    keep(known.release, JSON.parse(text.slice(id.length + 1)) as Rollout);
  });
  await subscriber.subscribe(keys.changes);
  await refresh();
  const timer = setInterval(() => quietly(refresh()), REFRESH_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));

  return {
    /** What is in memory, if it is. */
    /** Counts up whenever any rollout changed. */
    changes: (): number => changes,
    peek: (id: string): Entry | undefined => entries.get(id),
    get: async (id: string): Promise<Entry | null> => entries.get(id) ?? load(id),
    /** For whoever has seen a sign that the copy is old. */
    reload: load,
  };
}
