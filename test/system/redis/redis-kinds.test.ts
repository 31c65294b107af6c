/** The other kinds of Redis: behind TLS, and a master that Sentinels watch. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { noLocalServer } from '#test/harness/redis/local-servers.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { startRole } from '#test/harness/manager/processes.ts';
import { startWatched } from '#test/harness/redis/sentinel.ts';
import { startTlsRedis } from '#test/harness/redis/tls.ts';
import { atWork, countsAreTrue, finished } from '#test/harness/plans/rollout.ts';
import { TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const PARTITIONS = 4;
const CHILDREN = 30;
const TEST_MS = 120_000;
const RELEASE_MS = 80_000;

const missing = noLocalServer();
if (missing !== null) process.stdout.write(`${missing}\n`);

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

async function givenRelease(id: string, settings: Record<string, string>) {
  const [api] = await Promise.all(
    (['api', 'worker', 'scheduler'] as const).map((role) =>
      startRole(role, { PARTITIONS: String(PARTITIONS), ...settings }, stack),
    ),
  );
  const url = api?.url ?? '';
  const fleet = startFleet({ url, children: CHILDREN, factor: 3 });
  stack.defer(() => fleet.stop());
  const operator = createOperator(url, TOKEN);
  await until('all have joined', async () => (await operator.fleet()).length === CHILDREN);
  await operator.publish(id);
  await operator.start(id);
  await atWork(operator, id);
  return { operator, fleet };
}

describe.skipIf(missing !== null)('a release', { timeout: TEST_MS }, () => {
  it('runs over TLS with a certificate that NODE_EXTRA_CA_CERTS vouches for', async () => {
    const { url, server, ca, by } = await startTlsRedis(stack);
    process.stdout.write(`TLS is done by ${by}\n`);
    const { operator, fleet } = await givenRelease('tls', { REDIS_URL: url, NODE_EXTRA_CA_CERTS: ca });
    const view = await finished(operator, 'tls', RELEASE_MS);
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect(fleet.stats().bad).toBe(0);
    await countsAreTrue(`redis://127.0.0.1:${server.port}`, 'tls', PARTITIONS);
  });

  it('does not begin over TLS with a certificate that nobody vouches for', async () => {
    const { url } = await startTlsRedis(stack);
    const api = await startRole('api', { REDIS_URL: url }, stack, false);
    await until('it says why', () => Promise.resolve(/self-signed certificate/.test(api.output())));
    expect((await fetch(`${api.url}/readyz`)).status).toBe(503);
  });

  it('survives its master, which Sentinels replace', async () => {
    const watched = await startWatched(stack);
    const { operator, fleet } = await givenRelease('sentinel', { REDIS_URL: watched.url, ACK_REPLICAS: '1' });
    await watched.failOver();
    // The Sentinels make it a replica; without one nothing would be acknowledged.
    await watched.master.restart();
    const view = await finished(operator, 'sentinel', RELEASE_MS);
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect(fleet.stats().ended).toEqual([]);
    for (const answer of Object.keys(fleet.stats().answers))
      expect(answer).not.toMatch(/^\/(result|release).* (?!200)/);
    await countsAreTrue(watched.url, 'sentinel', PARTITIONS);
  });
});
