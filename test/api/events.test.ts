/** The stream of events, over a Redis: what is large, slow or over. */
import { createEvents } from '#services/api/operator/events/events.ts';
import { abortRollout } from '#domain/rollout/stop.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import type { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { createLog } from '#runtime/log.ts';
import { openStores } from '#test/harness/redis/stores.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

const PLAN = PRESETS['location-sequential'];
const MIB = 1024 * 1024;

let stack: AsyncDisposableStack;
let s: Awaited<ReturnType<typeof openStores>>;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  s = await openStores(stack);
});
afterEach(() => stack.disposeAsync());

async function open() {
  const subscriber = await s.connect();
  await subscriber.subscribe(s.keys.rolloutChanged, s.keys.tickRequests);
  return createEvents({ ...s, clock: { now: () => 1_000 }, subscriber, log: createLog('test', 'silent') }, stack);
}

/** `bytes`: how long its warnings are, and so each of its events. */
async function running(id: string, bytes: number, locations = 0): Promise<Rollout> {
  const published = publishedRollout({
    release: id,
    shortId: '1',
    stages: [{ name: 'A', type: 'WaitForSignal' }],
    plan: PLAN,
  });
  const warnings = [{ path: '', message: 'x'.repeat(bytes) }];
  const release = { id, strategy: { id, stages: [] } as never, publishedAt: 1, yml: 'y', zip: 'z', warnings };
  const files = { yml: Buffer.from('y'), zip: Buffer.from('z') };
  await s.releases.publish({ release, digest: id, files, rollout: published, plan: PLAN });
  await s.releases.addUnfinished(id);
  const locationsOpen = Array.from({ length: locations }, (_, i) => ({
    id: `l${i}`,
    n: i + 1,
    members: 1,
    quota: null,
    children: 1,
    gates: [],
  }));
  return changed(published, { ...startRollout(published, PLAN, 1, 0), effects: [], open: locationsOpen });
}

async function changed(before: Rollout, after: Rollout): Promise<Rollout> {
  const written = await s.releases.write(before, after);
  if (written === false) throw new Error('somebody else wrote');
  return written;
}

/** Reads on and on. */
function follow(stream: PassThrough): { views: () => ReleaseView[] } {
  let text = '';
  stream.on('data', (part: Buffer) => (text += part.toString()));
  return {
    views: () => [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data]) => JSON.parse(data ?? '') as ReleaseView),
  };
}

describe('events', () => {
  it('however large they are, reach a client that reads them', async () => {
    const events = await open();
    let rollout = await running('big', 2 * MIB);
    const stream = await events.listen('big');
    const { views } = follow(stream);
    for (const reason of ['one', 'two', 'three']) {
      rollout = await changed(rollout, { ...rollout, reason });
      await until(reason, async () => views().at(-1)?.reason === reason);
    }
    expect(stream.writableEnded).toBe(false);
  });

  it('end the stream of a client that reads nothing, once, and go on for the others', async () => {
    const events = await open();
    let rollout = await running('r', 0.7 * MIB);
    const idle = await events.listen('r');
    const errors: Error[] = [];
    idle.on('error', (error) => errors.push(error));
    const { views } = follow(await events.listen('r'));
    const states: boolean[] = [];
    for (let i = 0; i < 6; i++) {
      rollout = await changed(rollout, { ...rollout, reason: String(i) });
      await until(`${i} is told`, async () => views().at(-1)?.reason === String(i));
      states.push(idle.writableEnded);
    }
    await sleep(20);
    // With what it was sent to begin with and two more it has left more unread than it may: the third one ends it.
    expect(states).toEqual([false, false, true, true, true, true]);
    expect(errors).toEqual([]);
  });

  it('tell of the first 100 open locations, and of as many waits', async () => {
    const events = await open();
    await running('wide', 10, 250);
    const { views } = follow(await events.listen(undefined));
    const view = await until('it is told', async () => views()[0]);
    expect(view.progress.locations.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, i) => `l${i}`));
    expect(view.waiting).toHaveLength(100);
  });

  it('tell the end of a release', async () => {
    const events = await open();
    const rollout = await running('ends', 10);
    const { views } = follow(await events.listen(undefined));
    await changed(rollout, abortRollout(rollout, 5, 'enough'));
    await until('its end', async () => views().at(-1)?.state === 'aborted');
  });
});
