/** Long polls over the whole stack: an agent that asks once is answered when there is something. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

/** Longer than a test may take: whatever is answered before was not answered by its time being over. */
const LONG_POLL_MS = 300_000;
let stack: AsyncDisposableStack;
let m: Manager;
// One for each test: a release concerns the whole fleet.
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack, { LONG_POLL_MS: String(LONG_POLL_MS) });
});
afterEach(() => stack.disposeAsync());

const parked = async (): Promise<number> =>
  Number(/^choir_requests_parked\S* (\d+)/m.exec(await (await fetch(`${m.url}/metrics`)).text())?.[1]);
const known = (id: string) =>
  until(`${id} is known`, async () => (await m.operator.raw('GET', `/children/${id}`)).status === 200);

describe('with LONG_POLL_MS', () => {
  it.each(['global-incremental', 'location-sequential'])('a poll is answered with the offer (%s)', async (plan) => {
    const id = `poll-${plan}`;
    const release = `offer-${plan}`;
    // The first poll joins and is answered at once.
    expect(await m.child(id).poll()).toEqual({ id, new_release: '' });
    await known(id);
    const before = await parked();
    const poll = m.child(id).poll();
    await until('it is parked', async () => (await parked()) === before + 1);
    await m.operator.publish(release);
    await m.operator.start(release, plan);
    expect((await poll).new_release).toBe(release);
    await m.operator.abort(release);
  });

  it('/end_stage is answered when the gate opens, and when the child itself comes to wait at an open one', async () => {
    const [a, b] = [m.child('question-a'), m.child('question-b')];
    for (const child of [a, b]) await child.poll();
    await known('question-a');
    await known('question-b');
    await m.operator.publish('question');
    await m.operator.start('question');
    for (const { id } of [a, b])
      await until('enrolled', async () => (await m.operator.child('question', id)).release_status === 'Todo');
    await a.download('question');
    await b.download('question');
    const before = await parked();
    const asked = a.endStage('question', 'Canary');
    const early = b.endStage('question', 'Canary');
    await until('both are parked', async () => (await parked()) === before + 2);
    await a.result('question', 'Canary', 2, 'Test');
    await b.result('question', 'Canary', 2, 'Test');
    expect(await Promise.all([asked, early])).toEqual([true, true]);
  });

  it('/end_stage is answered when its child fails the stage', async () => {
    const child = m.child('fails');
    await child.poll();
    await known('fails');
    await m.operator.publish('failing');
    await m.operator.start('failing');
    await until('enrolled', async () => (await m.operator.child('failing', 'fails')).release_status === 'Todo');
    await child.download('failing');
    const before = await parked();
    const asked = child.endStage('failing', 'Canary');
    await until('it is parked', async () => (await parked()) === before + 1);
    await child.result('failing', 'Canary', 5, 'rollback');
    expect(await asked).toBe(true);
  });

  it('lets go of what its client no longer waits for', async () => {
    await m.child('leaves').poll();
    await known('leaves');
    const before = await parked();
    const patience = new AbortController();
    const poll = fetch(`${m.url}/poll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        id: 'leaves',
        geographic_area: {
          type: 'Polygon',
          coordinates: [
            [
              [1, 1],
              [2, 1],
              [2, 2],
              [1, 1],
            ],
          ],
        },
        number_of_children: 0,
      }),
      signal: patience.signal,
    }).catch((error: Error) => error.name);
    await until('it is parked', async () => (await parked()) === before + 1);
    patience.abort();
    expect(await poll).toBe('AbortError');
    await until('it is let go of', async () => (await parked()) === before);
  });

  it('says that there is nothing when its time is over', async () => {
    await using own = new AsyncDisposableStack();
    const short = await startManager(own, { LONG_POLL_MS: '50' });
    await short.child('one').poll();
    await until('it is known', async () => (await short.operator.raw('GET', '/children/one')).status === 200);
    const start = performance.now();
    expect((await short.child('one').poll()).new_release).toBe('');
    expect(performance.now() - start).toBeGreaterThanOrEqual(45);
  });
});
