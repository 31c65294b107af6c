/** Held answers over the whole stack: an agent that asks once is answered when there is something. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Manager, startManager } from '#test/harness/stack.ts';
import { until } from '#test/harness/until.ts';

/** Longer than a test may take: whatever is answered before was not answered by its time being over. */
const HOLD_MS = 300_000;
let stack: AsyncDisposableStack;
let m: Manager;
// One for each test: a release concerns the whole fleet.
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack, { HOLD_MS: String(HOLD_MS) });
});
afterEach(() => stack.disposeAsync());

const held = async (): Promise<number> =>
  Number(/^choir_answers_held\S* (\d+)/m.exec(await (await fetch(`${m.url}/metrics`)).text())?.[1]);
const known = (id: string) =>
  until(`${id} is known`, async () => (await m.operator.raw('GET', `/children/${id}`)).status === 200);

describe('with HOLD_MS', () => {
  it.each(['global-incremental', 'location-sequential'])('a poll is answered with the offer (%s)', async (plan) => {
    const id = `poll-${plan}`;
    const release = `offer-${plan}`;
    // The first poll joins and is answered at once.
    expect(await m.child(id).poll()).toEqual({ id, new_release: '' });
    await known(id);
    const before = await held();
    const poll = m.child(id).poll();
    await until('it is held', async () => (await held()) === before + 1);
    await m.operator.publish(release);
    await m.operator.start(release, plan);
    expect((await poll).new_release).toBe(release);
    await m.operator.abort(release);
  });

  it('/end_stage is answered when the gate opens, and when the child itself comes to wait at an open one', async () => {
    const [a, b] = [m.child('ask-a'), m.child('ask-b')];
    for (const child of [a, b]) await child.poll();
    await known('ask-a');
    await known('ask-b');
    await m.operator.publish('ask');
    await m.operator.start('ask');
    for (const { id } of [a, b])
      await until('enrolled', async () => (await m.operator.child('ask', id)).release_status === 'Todo');
    await a.download('ask');
    await b.download('ask');
    const before = await held();
    const asked = a.endStage('ask', 'Canary');
    const early = b.endStage('ask', 'Canary');
    await until('both are held', async () => (await held()) === before + 2);
    await a.result('ask', 'Canary', 2, 'Test');
    await b.result('ask', 'Canary', 2, 'Test');
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
    const before = await held();
    const asked = child.endStage('failing', 'Canary');
    await until('it is held', async () => (await held()) === before + 1);
    await child.result('failing', 'Canary', 5, 'rollback');
    expect(await asked).toBe(true);
  });

  it('lets go of what its client no longer waits for', async () => {
    await m.child('leaves').poll();
    await known('leaves');
    const before = await held();
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
    await until('it is held', async () => (await held()) === before + 1);
    patience.abort();
    expect(await poll).toBe('AbortError');
    await until('it is let go of', async () => (await held()) === before);
  });

  it('says that there is nothing when its time is over', async () => {
    await using own = new AsyncDisposableStack();
    const short = await startManager(own, { HOLD_MS: '50' });
    await short.child('one').poll();
    await until('it is known', async () => (await short.operator.raw('GET', '/children/one')).status === 200);
    const start = performance.now();
    expect((await short.child('one').poll()).new_release).toBe('');
    expect(performance.now() - start).toBeGreaterThanOrEqual(45);
  });
});
