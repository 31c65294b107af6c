/**
 * npm run demo: a manager of its own, a fleet of 200 around Berlin, a release from its start to its end. Everything is
 * on free ports and in a temporary folder, so it can be run as often as one likes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readReleaseFolder } from '#bundle/release-folder.ts';
import { type Client, createClient, releaseForm } from '#bin/cli/client.ts';
import { watchRelease } from '#bin/cli/watch.ts';
import { renderFleet } from '#bin/simulate/command.ts';
import { startFleet } from '#bin/simulate/fleet.ts';
import { BERLIN } from '#bin/simulate/areas.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

const CHILDREN = 200;
/** Children's time runs so many times faster than real children's. */
const FACTOR = 8;
const EXAMPLE = 'examples/releases/sieve';
const READY_WITHIN_MS = 20_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function startManager(dir: string, stack: AsyncDisposableStack): Promise<Client> {
  const env = {
    ...process.env,
    REDIS_URL: '',
    OPERATOR_TOKEN: '',
    PORT: '0',
    HOST: '127.0.0.1',
    DATA_DIR: dir,
    LOG_LEVEL: 'error',
  };
  const manager = spawn(process.execPath, ['services/all/main.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(manager, 'exit');
  stack.defer(async () => {
    manager.kill('SIGTERM');
    await ended;
  });
  let output = '';
  const ready = new Promise<void>((resolve) => {
    manager.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('state ')) resolve();
    });
  });
  await Promise.race([ready, ended, sleep(READY_WITHIN_MS, undefined, { ref: false })]);
  const url = /http:\/\/[\d.:]+/.exec(output)?.[0];
  if (url === undefined) throw new Error(`the manager did not start: ${output}`);
  return createClient({ url, token: undefined, dataDir: dir });
}

async function demo(stack: AsyncDisposableStack): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'choir-demo-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const client = await startManager(dir, stack);
  say(`A manager at ${client.url}, its state in ${dir}`);

  const fleet = startFleet({ url: client.url, children: CHILDREN, area: BERLIN, factor: FACTOR });
  stack.defer(() => fleet.stop());
  const known = async (): Promise<boolean> =>
    (await client.call<{ items: unknown[] }>('GET', '/children?limit=1000')).body.items.length === CHILDREN;
  while (!(await known())) await sleep(100);
  say(`A fleet of ${CHILDREN} children around Berlin polls it, ${FACTOR} times as fast as real ones`);

  const form = releaseForm(await readReleaseFolder(EXAMPLE));
  const { id } = (await client.call<{ id: string }>('POST', '/releases', form)).body;
  await client.call('POST', `/releases/${id}/start`, { plan: 'global-incremental' });
  say(`Release ${id} from ${EXAMPLE} is published and started\n`);

  const exit = await watchRelease(client, `/releases/${id}`, process.stdout);
  const { body } = await client.call<ReleaseView>('GET', `/releases/${id}`);
  const done = body.progress.children.Done ?? 0;
  say(`\n${renderFleet(fleet.stats(), CHILDREN)}`);
  return exit === 0 && done === CHILDREN && fleet.stats().bad === 0 ? 0 : 1;
}

const stack = new AsyncDisposableStack();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stack.disposeAsync().finally(() => process.exit(130)));
try {
  process.exitCode = await demo(stack);
} finally {
  await stack.disposeAsync();
}
