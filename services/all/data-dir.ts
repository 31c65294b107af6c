/** DATA_DIR: one manager at a time, whatever killed the one before. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { ConfigError } from '#runtime/config.ts';

/** Creates the folder (mode 700) and locks it for as long as the process lives. */
export function openDataDir(path: string, stack: AsyncDisposableStack): string {
  const dir = resolve(path);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    chmodSync(dir, 0o700);
  } catch (error) {
    throw new ConfigError(`DATA_DIR can't be used: ${(error as Error).message}`);
  }
  lock(dir, stack);
  return dir;
}

/**
 * Node has no flock. SQLite's exclusive lock is one that the kernel drops when the process dies, so that a killed
 * manager leaves nothing behind that would have to be judged stale.
 */
function lock(dir: string, stack: AsyncDisposableStack): void {
  const database = new DatabaseSync(join(dir, 'manager.lock'));
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch {
    database.close();
    throw new ConfigError(
      `DATA_DIR ${dir} is in use by another manager: stop it, or give this one a DATA_DIR of its own`,
    );
  }
  stack.defer(() => database.close());
}

const TOKEN_FILE = 'operator-token';

/** The operators' token: given, or made at the first start and kept. */
export function operatorToken(dir: string, given: string | undefined): string {
  const file = join(dir, TOKEN_FILE);
  if (given === undefined && existsSync(file)) return readFileSync(file, 'utf8').trim();
  const token = given ?? randomBytes(24).toString('base64url');
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return token;
}
