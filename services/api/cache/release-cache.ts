/**
 * The API's copy of releases and rollouts: a poll and `/end_stage` are answered from it. Told of changes by pub/sub, and
 * refreshed at least each second, so that a lost message costs a second.
 */
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { Logger } from '#runtime/log.ts';
import type { Client } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { Release, ReleaseStore } from '#store/releases/release-store.ts';
import type { FileCache } from './file-cache.ts';

const REFRESH_MS = 1_000;

export type Entry = { release: Release; rollout: Rollout; stageIndex: ReadonlyMap<string, number> };

export type ReleaseCache = Awaited<ReturnType<typeof createReleaseCache>>;

type Deps = {
  store: Pick<ReleaseStore, 'release' | 'rollout' | 'unfinished' | 'versions'>;
  subscriber: Client;
  keys: Pick<Keys, 'rolloutChanged'>;
  files: Pick<FileCache, 'get'>;
  /** Is told of each rollout that has changed. */
  changed(id: string): void;
  log: Logger;
};

type Copy = Deps & { entries: Map<string, Entry>; unfinished: ReadonlySet<string>; changes: number };

export async function createReleaseCache(deps: Deps, stack: AsyncDisposableStack) {
  const { subscriber, keys, log } = deps;
  const copy: Copy = { ...deps, entries: new Map(), unfinished: new Set(), changes: 0 };
  const quietly = (work: Promise<unknown>): void =>
    void work.catch((error: Error) => log.debug({ error: error.message }, 'the copy of rollouts is not fresh'));

  subscriber.on('message', (channel: string, text: string) => {
    if (channel !== keys.rolloutChanged) return;
    const [id = ''] = text.split(' ', 1);
    const known = copy.entries.get(id);
    if (known === undefined || id.length === text.length) return quietly(load(copy, id));
    keep(copy, known.release, JSON.parse(text.slice(id.length + 1)) as Rollout);
  });
  await subscriber.subscribe(keys.rolloutChanged);
  await refresh(copy);
  const timer = setInterval(() => quietly(refresh(copy)), REFRESH_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));

  return {
    /** Counts up whenever any rollout changed. */
    changes: (): number => copy.changes,
    /** What is in memory, if it is. */
    peek: (id: string): Entry | undefined => copy.entries.get(id),
    get: async (id: string): Promise<Entry | null> => copy.entries.get(id) ?? load(copy, id),
    /** Where something says that the copy is old. */
    reload: (id: string): Promise<Entry | null> => load(copy, id),
  };
}

/** Once a release runs its files must be at hand, also while Redis is away: refusing them ends an agent. */
function warm({ files, log }: Copy, { yml, zip }: Release): void {
  for (const digest of [yml, zip])
    files.get(digest).catch((error: Error) => log.debug({ error: error.message }, 'a file is not at hand yet'));
}

function keep(copy: Copy, release: Release, rollout: Rollout): Entry {
  const { id } = release;
  const current = copy.entries.get(id);
  // News may overtake one another: the newer version stays.
  if (current !== undefined && current.rollout.version >= rollout.version) return current;
  const stageIndex = new Map(release.strategy.stages.map((stage, i) => [stage.name, i]));
  const entry = { release, rollout, stageIndex };
  copy.entries.set(id, entry);
  copy.changes++;
  if (rollout.state === 'running') warm(copy, release);
  copy.changed(id);
  return entry;
}

async function load(copy: Copy, id: string): Promise<Entry | null> {
  const known = copy.entries.get(id)?.release;
  const [release, rollout] = await Promise.all([known ?? copy.store.release(id), copy.store.rollout(id)]);
  if (release === null || rollout === null) return null;
  return keep(copy, release, rollout);
}

async function refresh(copy: Copy): Promise<void> {
  const now = new Set(await copy.store.unfinished());
  // Those that have just left the set too: otherwise their last change would be missed.
  const ids = [...new Set([...now, ...copy.unfinished])];
  const versions = await copy.store.versions(ids);
  const stale = ids.filter((id, i) => versions[i] !== copy.entries.get(id)?.rollout.version);
  await Promise.all(stale.map((id) => load(copy, id)));
  copy.unfinished = now;
}
