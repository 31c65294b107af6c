import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readReleaseFolder } from '#bundle/release-folder.ts';
import { ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import type { Publisher } from './publisher.ts';

/**
 * Publishes every folder of RELEASES_DIR. A release with faults is logged and left out: a manager that refused to start
 * for it would leave a whole fleet without one.
 */
export async function publishFolder(dir: string, publish: Publisher, log: Logger): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: Error) => {
    throw new ConfigError(`RELEASES_DIR can't be read: ${error.message}`);
  });
  for (const { name } of entries.filter((entry) => entry.isDirectory()).sort((a, b) => (a.name < b.name ? -1 : 1)))
    try {
      const { yml, zip } = await readReleaseFolder(join(dir, name));
      const { id, created } = await publish(yml, zip);
      log.info({ release: id, folder: name, created }, 'release published from RELEASES_DIR');
    } catch (error) {
      const faults = error instanceof ProblemError ? error.errors : undefined;
      log.error({ folder: name, error: (error as Error).message, faults }, 'a release in RELEASES_DIR was left out');
    }
}
