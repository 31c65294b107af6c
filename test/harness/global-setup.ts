/** Decides once how the tests get their Redis servers, and says so. */
import { execFileSync } from 'node:child_process';
import { findRedisServer } from '#services/all/embedded-redis.ts';
import { REDIS_IMAGE, type RedisMode } from './redis.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redisMode: RedisMode;
  }
}

type Project = { provide(key: 'redisMode', value: RedisMode): void };

export default function setup(project: Project): void {
  const { mode, why } = choose(process.env['TEST_REDIS'] ?? 'auto');
  process.stdout.write(
    `Redis for the tests: ${mode === 'docker' ? `testcontainers (${REDIS_IMAGE})` : 'the local server'}: ${why}\n`,
  );
  project.provide('redisMode', mode);
}

function choose(wanted: string): { mode: RedisMode; why: string } {
  if (wanted === 'docker') return { mode: 'docker', why: 'TEST_REDIS says so' };
  const local = findRedisServer();
  if (wanted === 'local' && local !== null) return { mode: 'local', why: 'TEST_REDIS says so' };
  const docker = wanted === 'local' ? 'TEST_REDIS says local' : dockerFault();
  if (docker === null) return { mode: 'docker', why: 'Docker answers' };
  if (local === null)
    throw new Error(`No Redis for the tests: ${docker}, and no redis-server is on the path (npm run setup)`);
  return { mode: 'local', why: `${docker}; ${local}` };
}

/** Null where containers can be started; otherwise why not. */
function dockerFault(): string | null {
  const docker = (...args: string[]): boolean => {
    try {
      execFileSync('docker', args, { stdio: 'ignore', timeout: 120_000 });
      return true;
    } catch {
      return false;
    }
  };
  if (!docker('version')) return 'Docker does not answer';
  if (!docker('image', 'inspect', REDIS_IMAGE) && !docker('pull', REDIS_IMAGE))
    return `Docker cannot get ${REDIS_IMAGE}`;
  return null;
}
