/** Decides once how the tests get their Redis servers, and says so. */
import { getContainerRuntimeClient, ImageName } from 'testcontainers';
import { findRedisServer } from '#services/all/embedded-redis.ts';
import { REDIS_IMAGE, type RedisMode } from './redis.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redisMode: RedisMode;
  }
}

type Project = { provide(key: 'redisMode', value: RedisMode): void };

const NAMES: Record<RedisMode, string> = {
  docker: `testcontainers (${REDIS_IMAGE})`,
  local: 'the local server',
  none: 'none',
};

/** testcontainers' own janitor; without it the tests' containers are stopped by the tests alone. */
const RYUK_IMAGE = process.env['RYUK_CONTAINER_IMAGE'] ?? 'testcontainers/ryuk:0.14.0';

export default async function setup(project: Project): Promise<void> {
  const { mode, why } = await choose(process.env['TEST_REDIS'] ?? 'auto');
  process.stdout.write(`Redis for the tests: ${NAMES[mode]}: ${why}\n`);
  project.provide('redisMode', mode);
}

async function choose(wanted: string): Promise<{ mode: RedisMode; why: string }> {
  if (!['auto', 'docker', 'local', 'none'].includes(wanted))
    throw new Error(`TEST_REDIS is auto, docker, local or none, not ${wanted}`);
  if (wanted === 'none') return { mode: 'none', why: 'a test that asks for one fails' };
  const docker = wanted === 'local' ? 'TEST_REDIS says local' : await dockerFault();
  if (docker === null) return { mode: 'docker', why: 'Docker answers' };
  if (wanted === 'docker') throw new Error(`TEST_REDIS says docker, but ${docker}`);
  const local = findRedisServer(process.env['PATH'] ?? '');
  if (local === null)
    throw new Error(`No Redis for the tests: ${docker}, and no redis-server is on the path (npm run setup)`);
  return { mode: 'local', why: `${docker}; ${local}` };
}

/** Null where containers can be started; otherwise why not. */
async function dockerFault(): Promise<string | null> {
  const runtime = await getContainerRuntimeClient().catch(() => null);
  if (runtime === null) return 'Docker does not answer';
  const has = async (image: string): Promise<boolean> => {
    const name = ImageName.fromString(image);
    if (await runtime.image.exists(name)) return true;
    return runtime.image.pull(name).then(
      () => true,
      () => false,
    );
  };
  if (!(await has(REDIS_IMAGE))) return `Docker cannot get ${REDIS_IMAGE}`;
  if (!(await has(RYUK_IMAGE))) process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  return null;
}
