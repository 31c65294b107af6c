/** What silence is made from: served times, children that come late or come back, and the pass that flags them. */
import { createIntakeProducer } from '#queue/intake-producer.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FLAG } from '#domain/child/flags.ts';
import type { Rollout, RolloutStage } from '#domain/rollout/rollout.ts';
import { encodeMessage } from '#queue/message.ts';
import { createLog } from '#runtime/log.ts';
import { createChildFlagger } from '#workers/maintenance/flag-children.ts';
import { addsUp, givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());
beforeEach(() => s.client.flushall());

const STAGES: RolloutStage[] = [
  { name: 'Canary', type: 'WaitForSignal' },
  { name: 'Compare', type: 'A/B' },
];

/** As if the last note had been made so long ago. */
const setBack = async (ms: number): Promise<number> => {
  const [seconds, micros] = await s.client.time();
  const at = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - ms;
  await s.client.hset(s.keys.served, 'at', at);
  return at;
};

const download = ({ release, shortId }: Rollout, id: string, at: number) =>
  s.children.applyNow({ kind: 'result', id, release, shortId, at, attempt: 1, reports: [] });

describe('served times', () => {
  it('have no gap while notes come, each a little after the last one', async () => {
    expect(await s.served.read()).toEqual({ lastServed: null, gaps: [] });
    await s.served.note();
    const before = await setBack(4_500);
    await s.served.note();
    const { lastServed, gaps } = await s.served.read();
    expect(gaps).toEqual([]);
    expect(lastServed ?? 0).toBeGreaterThan(before + 4_000);
  });

  it('have one wherever no API served, and go on from there', async () => {
    const starts: number[] = [];
    for (const away of [60_000, 20_000]) {
      starts.push(await setBack(away));
      await s.served.note();
      await s.served.note();
    }
    const { lastServed, gaps } = await s.served.read();
    expect(gaps.map(([from]) => from)).toEqual(starts);
    for (const [from, to] of gaps) expect(to).toBeGreaterThan(from + 19_000);
    expect(gaps[1]?.[1]).toBeLessThanOrEqual(lastServed ?? 0);
  });

  it('keep the last 1,000', async () => {
    await s.client.hset(s.keys.served, 'gaps', Array.from({ length: 1_000 }, (_, i) => `${i}-${i + 1}`).join(' '));
    await setBack(6_000);
    await s.served.note();
    const { gaps } = await s.served.read();
    expect(gaps).toHaveLength(1_000);
    expect(gaps[0]).toEqual([1, 2]);
  });

  it('are never set back', async () => {
    await setBack(-60_000);
    const { lastServed } = await s.served.read();
    await s.served.note();
    expect(await s.served.read()).toEqual({ lastServed, gaps: [] });
  });
});

describe('children that come late', () => {
  const arrived = async (release: string): Promise<string[]> =>
    (await Promise.all([0, 1].map((p) => s.client.lrange(s.keys.arrived(p, release), 0, -1)))).flat().sort();
  const joins = (id: string, at: number) => s.join({ id, at, area: 'A', digest: `${at}`, childCount: 0 });
  const polls = (id: string, at: number) => s.heartbeat({ id, at, release: '', shortId: '', by: 'poll' });
  const takesLate = async (release: string, freshSince: number): Promise<void> => {
    for (const p of [0, 1]) await s.client.zadd(s.keys.late(p), freshSince, release);
  };

  it('are new, or were silent when the release was started; each is named once', async () => {
    for (const [id, at] of [
      ['fresh', 500],
      ['just-fresh', 400],
      ['silent', 399],
      ['silent-too', 10],
    ] as const)
      await joins(id, at);
    await takesLate('rel', 400);
    for (const at of [1_000, 1_001]) {
      for (const id of ['fresh', 'just-fresh', 'silent']) await polls(id, at);
      for (const id of ['silent-too', 'new']) await joins(id, at);
    }
    expect(await arrived('rel')).toEqual(['new', 'silent', 'silent-too']);
  });

  it('are named in each release that they come late for', async () => {
    await joins('old', 100);
    await joins('older', 10);
    await takesLate('early', 50);
    await takesLate('later', 200);
    for (const id of ['old', 'older']) await polls(id, 1_000);
    await joins('new', 1_000);
    expect(await arrived('early')).toEqual(['new', 'older']);
    expect(await arrived('later')).toEqual(['new', 'old', 'older']);
  });

  it('may come back with a result of another release, after a long A/B stage', async () => {
    const rollout = runningRollout('other', '1', STAGES);
    for (const id of ['back', 'there']) {
      await givenEnrolled(s, rollout, id, 'all', 100);
      await download(rollout, id, id === 'back' ? 1_200 : 50_000);
    }
    await takesLate('rel', 40_000);
    for (const id of ['back', 'there']) await download(rollout, id, 90_000);
    expect(await arrived('rel')).toEqual(['back']);
  });

  it('are not those whose heartbeat is from before, however late it is applied', async () => {
    await joins('silent', 10);
    await takesLate('rel', 400);
    await polls('silent', 399);
    expect(await arrived('rel')).toEqual([]);
    await polls('silent', 400);
    expect(await arrived('rel')).toEqual(['silent']);
  });

  it('are noted nowhere while no release takes them in', async () => {
    await joins('silent', 10);
    await polls('silent', 90_000);
    expect((await s.client.keys('*')).filter((key) => /arrived|late/.test(key))).toEqual([]);
  });
});

describe('a pass', () => {
  const LOST_AFTER = 20_000;
  const NOW = 1_000_000;
  /** SEEN_PRECISION, and what a heartbeat may take beyond it. */
  const SLACK = 30_000 + 1_000;

  async function given(plan: Parameters<typeof runningRollout>[3] = {}, rest: Partial<Rollout> = {}) {
    const started = runningRollout('rel', '1', STAGES, { lostAfterMs: LOST_AFTER, ...plan }, { freshSince: 1 });
    const rollout = { ...started, ...rest };
    await s.client.hset(s.keys.rollout('rel'), 'doc', JSON.stringify(rollout), 'v', 1);
    await s.releases.addUnfinished('rel');
    const own = new AsyncDisposableStack();
    const intake = await createIntakeProducer(
      { connection: await s.connect(), keys: s.keys, partitions: s.partitions, replicas: 0 },
      own,
    );
    const clock = { time: NOW, now: () => clock.time };
    const ticked: string[] = [];
    const pass = createChildFlagger({
      ...s,
      releases: { ...s.releases, requestTick: async (id) => void ticked.push(id) },
      intake,
      clock,
      config: { seenPrecisionMs: 30_000, longPollMs: 0 },
      log: createLog('test', 'fatal'),
    });
    await s.client.hset(s.keys.served, 'at', NOW);
    const flagged = async (): Promise<string[]> => {
      const ids = (await Promise.all([0, 1].map((p) => s.client.zrange(s.keys.index(p, 'rel'), 0, '-1')))).flat();
      const flags = await Promise.all(ids.map(async (id) => (await s.children.record('1', id))?.flags ?? 0));
      return ids.flatMap((id, i) => (flags[i] === 0 ? [] : [`${id} ${flags[i]}`])).sort();
    };
    return { rollout, intake, clock, pass, ticked, flagged, own };
  }

  it('flags whichever child has been silent for so long, and asks for a tick of the rollout', async () => {
    const { rollout, pass, ticked, flagged, own } = await given();
    for (let i = 0; i < 600; i++) await givenEnrolled(s, rollout, `silent-${i}`, '1/a', NOW - LOST_AFTER - SLACK - i);
    for (let i = 0; i < 20; i++) await givenEnrolled(s, rollout, `there-${i}`, '1/a', NOW - LOST_AFTER - SLACK + 1 + i);
    await pass();
    expect(await flagged()).toEqual(Array.from({ length: 600 }, (_, i) => `silent-${i} ${FLAG.lost}`).sort());
    expect(ticked).toEqual(['rel']);
    for (const p of [0, 1]) expect(await s.client.hexists(s.keys.agg(p, 'rel'), AGG.watchLost)).toBe(1);
    expect(await addsUp(s, rollout)).toEqual({ n: 620, r1: 620, m1: 600 });
    await own.disposeAsync();
  });

  it('finds no child lost or overdue by time in which the manager was away', async () => {
    const { rollout, pass, clock, flagged, own } = await given({ deadline: { afterMs: LOST_AFTER, then: 'fail' } });
    await s.flags.watch(rollout);
    await givenEnrolled(s, rollout, 'silent', '1/a', NOW - 2_000);
    await download(rollout, 'silent', NOW - 1_000);
    // It was stopped, is away still, and comes back: each time its children may have been quiet for good reasons.
    clock.time = NOW + 3_600_000;
    await pass();
    expect(await flagged()).toEqual([]);
    await s.client.hset(s.keys.served, { at: clock.time, gaps: `${NOW}-${clock.time}` });
    clock.time += 3_000;
    await pass();
    expect(await flagged()).toEqual([]);
    clock.time += LOST_AFTER;
    await s.client.hset(s.keys.served, 'at', clock.time);
    await pass();
    expect(await flagged()).toEqual([`silent ${FLAG.overdue}`]);
    clock.time += SLACK;
    await s.client.hset(s.keys.served, 'at', clock.time);
    await pass();
    expect(await flagged()).toEqual([`silent ${FLAG.lost | FLAG.overdue}`]);
    await own.disposeAsync();
  });

  it('finds no child while the manager has never served', async () => {
    const { rollout, pass, flagged, own } = await given();
    await givenEnrolled(s, rollout, 'silent', '1/a', 5);
    await s.client.del(s.keys.served);
    await pass();
    expect(await flagged()).toEqual([]);
    await own.disposeAsync();
  });

  it('passes a partition over while what its children sent is still to be applied', async () => {
    const { rollout, intake, pass, clock, flagged, own } = await given();
    const ids = Array.from({ length: 20 }, (_, i) => `silent-${i}`);
    for (const id of ids) await givenEnrolled(s, rollout, id, '1/a', 5);
    const line = encodeMessage({ kind: 'heartbeat', id: 'silent-0', at: NOW, release: '', shortId: '', by: 'poll' });
    await intake.add(0, [line], NOW - 1_000);
    await intake.add(1, [line], NOW - 999);
    await pass();
    expect(await flagged()).toEqual(
      ids
        .filter((id) => s.children.partition(id) === 1)
        .map((id) => `${id} ${FLAG.lost}`)
        .sort(),
    );
    await s.client.del(`${s.keys.partition(0)}:intake:wait`);
    clock.time += 100_000;
    await s.client.hset(s.keys.served, 'at', clock.time);
    await s.client.del(`${s.keys.partition(1)}:intake:wait`);
    await pass();
    expect(await flagged()).toHaveLength(20);
    await own.disposeAsync();
  });

  it('goes on in the next job where there are more than one job may read', async () => {
    const { rollout, pass, flagged, own } = await given();
    const ids = Array.from({ length: 25_000 }, (_, i) => `c${i}`);
    for (let from = 0; from < ids.length; from += 1_000)
      await Promise.all(
        ids.slice(from, from + 1_000).map((id, i) => givenEnrolled(s, rollout, id, 'all', 5 + from + i)),
      );
    await pass();
    const first = (await flagged()).length;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(ids.length);
    await pass();
    expect(await flagged()).toHaveLength(ids.length);
    await own.disposeAsync();
  });

  it('flags those as overdue that come behind others which it may not flag', async () => {
    const { rollout, pass, flagged, own } = await given({
      lostAfterMs: null,
      deadline: { afterMs: 1_000, then: 'hold' },
    });
    await s.flags.watch(rollout);
    await givenEnrolled(s, rollout, 'there', '1/a', 5);
    await download(rollout, 'there', 9_000);
    // Left behind, whatever may have done it.
    for (const p of [0, 1])
      await s.client.zadd(s.keys.due(p, 'rel'), ...Array.from({ length: 600 }, (_, i) => [10, `gone-${i}`]).flat());
    await pass();
    expect(await flagged()).toEqual([`there ${FLAG.overdue}`]);
    await own.disposeAsync();
  });

  it.each([
    ['paused', {}, false],
    ['reverting', {}, true],
    ['reverting', { compensates: 'other' }, true],
    ['halted', {}, false],
    ['completed', {}, false],
  ] as const)('goes over a rollout that is %s: %j %s', async (state, plan, isWatched) => {
    const { rollout, pass, flagged, own } = await given(plan, { state });
    await givenEnrolled(s, rollout, 'silent', '1/a', 5);
    await pass();
    expect(await flagged()).toHaveLength(isWatched ? 1 : 0);
    await own.disposeAsync();
  });

  it('goes over a rollout no more often than its limits ask for', async () => {
    const { rollout, pass, clock, flagged, own } = await given({ lostAfterMs: 60_000 });
    await pass();
    await givenEnrolled(s, rollout, 'silent', '1/a', 5);
    clock.time += 8_000;
    await pass();
    expect(await flagged()).toEqual([]);
    clock.time += 2_000;
    await s.client.hset(s.keys.served, 'at', clock.time);
    await pass();
    expect(await flagged()).toHaveLength(1);
    await own.disposeAsync();
  });
});
