/** Release files in memory, by digest: they never change, and a fleet downloads the same ones all at once. */
import type { ReleaseStore } from '#store/releases/release-store.ts';

const MAX_BYTES = 256 * 1024 * 1024;

export type FileCache = ReturnType<typeof createFileCache>;

export function createFileCache(store: Pick<ReleaseStore, 'file'>) {
  const files = new Map<string, Buffer>();
  const loading = new Map<string, Promise<Buffer | null>>();
  let bytes = 0;

  async function load(digest: string): Promise<Buffer | null> {
    const file = await store.file(digest);
    if (file === null) return null;
    files.set(digest, file);
    bytes += file.length;
    for (const [oldest, old] of files) {
      if (bytes <= MAX_BYTES || oldest === digest) break;
      files.delete(oldest);
      bytes -= old.length;
    }
    return file;
  }

  return {
    get(digest: string): Promise<Buffer | null> {
      const file = files.get(digest);
      if (file !== undefined) {
        // Insertion order is order of use: the one used longest ago goes first.
        files.delete(digest);
        files.set(digest, file);
        return Promise.resolve(file);
      }
      const running = loading.get(digest) ?? load(digest).finally(() => loading.delete(digest));
      loading.set(digest, running);
      return running;
    },
  };
}
