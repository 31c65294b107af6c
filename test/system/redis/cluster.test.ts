/** A whole release over a Redis Cluster with several processes of each role, also when nodes die and slots move. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { noLocalServer } from '#test/harness/redis/local-servers.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { startRole } from '#test/harness/manager/processes.ts';
import { startCluster } from '#test/harness/redis/cluster.ts';
import { atWork, countsAreTrue, finished } from '#test/harness/plans/rollout.ts';
import { TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const PARTITIONS = 8;
const CHILDREN_PER_API = 30;
const CHILDREN = 2 * CHILDREN_PER_API;
const TEST_MS = 150_000;
const RELEASE_MS = 100_000;

const missing = noLocalServer();
if (missing !== null) process.stdout.write(`${missing}\n`);

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

async function givenRelease(id: string, factor: number) {
  const cluster = await startCluster(stack);
  // One replica has each result before its answer, and each master has one replica: whichever master dies, what was
  // acknowledged is on the one server that can follow it.
  const settings = { REDIS_URL: cluster.url, PARTITIONS: String(PARTITIONS), ACK_REPLICAS: '1' };
  const started = await Promise.all(
    (['api', 'api', 'worker', 'worker', 'scheduler', 'scheduler'] as const).map(async (role) => ({
      role,
      process: await startRole(role, settings, stack),
    })),
  );
  const urls = started.filter(({ role }) => role === 'api').map(({ process }) => process.url);
  const fleets = urls.map((url, i) => startFleet({ url, children: CHILDREN_PER_API, factor, seed: i + 1 }));
  for (const fleet of fleets) stack.defer(() => fleet.stop());
  const operator = createOperator(urls[0] ?? '', TOKEN);
  await until('all have joined', async () => {
    const known = await operator.fleet();
    return known.length === CHILDREN && fleets.every((fleet) => fleet.stats().states.polling === CHILDREN_PER_API);
  });
  await operator.publish(id);
  await operator.start(id);
  await atWork(operator, id);
  const roles = started.map(({ role, process }) => ({ role, output: process.output }));
  return { cluster, operator, fleets, roles };
}

type Given = Awaited<ReturnType<typeof givenRelease>>;

async function thenNothingIsLost({ cluster, operator, fleets }: Given, id: string): Promise<void> {
  const view = await finished(operator, id, RELEASE_MS);
  expect(view.progress.children.Done).toBe(CHILDREN);
  for (const fleet of fleets) {
    expect(fleet.stats().ended).toEqual([]);
    // Polls and questions may have been refused meanwhile, which are asked again; results and downloads never.
    for (const answer of Object.keys(fleet.stats().answers))
      expect(answer).not.toMatch(/^\/(result|release).* (?!200)/);
  }
  await countsAreTrue(cluster.url, id, PARTITIONS);
}

describe.skipIf(missing !== null)('on a Redis Cluster', { timeout: TEST_MS }, () => {
  it('a release runs to its end', async () => {
    const given = await givenRelease('plain', 3);
    await thenNothingIsLost(given, 'plain');
    for (const fleet of given.fleets) expect(fleet.stats().bad).toBe(0);
  });

  it('killed masters cost nothing: their replicas take over', async () => {
    const given = await givenRelease('failover', 1.5);
    const { cluster, operator } = given;
    // One that holds children, then the one that holds the ticks, by then perhaps another.
    for (const key of ['uc:{0}:seen', 'uc:{ticks}:ticks']) {
      const master = await cluster.failOver(cluster.slotOf(key));
      const view = await until('the API answers', () => operator.show('failover').catch(() => null));
      // Until it has a replica again the release can't end: results of its partitions are tried again.
      if (key === 'uc:{0}:seen') expect(view.state).toBe('running');
      // As a replica of its replica: without one nothing would be acknowledged there.
      await master.restart();
      await cluster.whole();
    }
    await thenNothingIsLost(given, 'failover');
  });

  it('slots that move to other masters cost nothing', async () => {
    const given = await givenRelease('slots', 2);
    const { cluster, operator } = given;
    const masters = await Promise.all([0, 8_000, 16_000].map(cluster.masterOf));
    const hashTags = [...Array.from({ length: PARTITIONS }, (_, p) => String(p)), 'ticks', 'slots'];
    const slots = [...hashTags.map((tag) => `{${tag}}`), 'uc:unfinished', 'uc:releases', 'uc:meta'].map(cluster.slotOf);
    // Once around in each stage, and others that hold nothing.
    for (const [stage, empty] of [100, 6_000, 12_000].entries()) {
      await until('the stage has begun', async () => {
        const { state, progress } = await operator.show('slots');
        return (
          state === 'completed' ||
          Object.keys(progress.stages[stage] ?? {}).some((key) => key !== 'name' && key !== 'Pending')
        );
      });
      let keys = 0;
      for (const slot of [...slots, empty, empty + 1]) {
        const from = await cluster.masterOf(slot);
        const to = masters[(masters.findIndex(({ id }) => id === from.id) + 1) % masters.length];
        if (to !== undefined) keys += await cluster.move(slot, to);
      }
      expect(keys).toBeGreaterThan(CHILDREN);
    }
    await thenNothingIsLost(given, 'slots');
  });
});
