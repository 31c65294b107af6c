/** The other Lua files, on a real Redis, with clients that race. */
import { abortRollout } from '#domain/rollout/stop.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { pageOf } from '#store/children/pages.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { SCHEMA } from '#store/layout/schema.ts';
import { runScript } from '#store/connection/script.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());

let serial = 0;
const name = (): string => `x${serial++}`;
const joinOf = (id: string, at: number, area = 'A') => ({
  id,
  at,
  area: `area${area}`,
  digest: area,
  childCount: at % 3,
});
const hash = (id: string) => s.client.hgetall(s.keys.child(s.children.partition(id), id));

const shortIds = new Map<string, string>();
function shortIdOf(release: string): string {
  const shortId = shortIds.get(release) ?? String(shortIds.size + 1);
  shortIds.set(release, shortId);
  return shortId;
}

function running(release: string, at: number, freshSince = 0): Rollout {
  const plan = PRESETS['global-incremental'];
  return startRollout(
    publishedRollout({ release, shortId: shortIdOf(release), stages: [{ name: 'A', type: 'WaitForSignal' }], plan }),
    plan,
    at,
    freshSince,
  );
}

describe('joining', () => {
  it('commutes: the earliest first-seen, the latest last-seen, the last writer’s area', async () => {
    const join = fc.record({ at: fc.integer({ min: 1, max: 4 }), area: fc.constantFrom('A', 'B', 'C') });
    await fc.assert(
      fc.asyncProperty(
        fc
          .array(join, { minLength: 1, maxLength: 5 })
          .chain((all) =>
            fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
          ),
        async ([one, other]) => {
          const [a, b] = [name(), name()];
          for (const { at, area } of one) await s.join(joinOf(a, at, area));
          await Promise.all(other.map(({ at, area }) => s.join(joinOf(b, at, area))));
          const stored = await hash(a);
          expect(await hash(b)).toEqual(stored);
          expect(Number(stored['f'])).toBe(Math.min(...one.map(({ at }) => at)));
          expect(Number(stored['s'])).toBe(Math.max(...one.map(({ at }) => at)));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('says once that a child is new, however many race', async () => {
    const id = name();
    const replies = await Promise.all(Array.from({ length: 20 }, () => s.join(joinOf(id, 5))));
    expect(replies.filter(Boolean)).toHaveLength(1);
  });
});

describe('a heartbeat', () => {
  it('never creates a child', async () => {
    const id = name();
    expect(await s.heartbeat({ id, at: 9, release: '', shortId: '', by: 'poll' })).toBe(false);
    expect(await hash(id)).toEqual({});
    expect(await s.client.zscore(s.keys.seen(s.children.partition(id)), id)).toBeNull();
  });

  it('never takes last-seen back', async () => {
    const id = name();
    await s.join(joinOf(id, 5));
    await s.heartbeat({ id, at: 9, release: '', shortId: '', by: 'poll' });
    await s.heartbeat({ id, at: 7, release: '', shortId: '', by: 'poll' });
    expect((await s.children.forPoll(id))?.lastSeen).toBe(9);
    expect(await s.client.zscore(s.keys.seen(s.children.partition(id)), id)).toBe('9');
  });

  it('notes that a child has left which polls 10 s after its last message, and that it is back when it calls `/end_stage`', async () => {
    const id = name();
    const release = name();
    const shortId = shortIdOf(release);
    await s.join(joinOf(id, 1_000));
    await s.enrolment.enrolChild(s.children.partition(id), running(release, 2_000), id);
    const at = Date.now();
    await s.children.applyNow({ kind: 'result', id, release, shortId, at, attempt: 1, reports: [] });
    const poll = async (after: number): Promise<boolean | undefined> => {
      await s.heartbeat({ id, at: at + after, release, shortId, by: 'poll' });
      return (await s.children.forPoll(id))?.left;
    };
    expect(await poll(9_999)).toBe(false);
    expect(await poll(10_000)).toBe(true);
    await s.heartbeat({ id, at: at + 11_000, release, shortId, by: 'end_stage' });
    expect((await s.children.forPoll(id))?.left).toBe(false);
    expect(await poll(20_000)).toBe(false);
    expect(await poll(21_000)).toBe(true);
  });
});

describe('enrolling', () => {
  const enrolAll = async (rollout: Rollout): Promise<void> => {
    for (let p = 0; p < s.partitions; p++) while (!(await s.enrolment.enrolFleet(p, rollout)));
  };
  const sum = async (release: string, field: string): Promise<number> => {
    const values = await Promise.all(
      Array.from({ length: s.partitions }, (_, p) => s.client.hget(s.keys.agg(p, release), field)),
    );
    return values.reduce((total: number, value) => total + Number(value ?? 0), 0);
  };

  it('takes every child that is fresh, once, in batches, though they are seen meanwhile and many share a millisecond', async () => {
    await s.client.flushall();
    const start = 1_000_000;
    const ids = Array.from({ length: 2_300 }, (_, i) => `e-${i}`);
    // 1,500 of them in the very same millisecond: more than a batch.
    await Promise.all(ids.map((id, i) => s.join(joinOf(id, i < 1_500 ? 500_000 : 500_000 + i))));
    await s.join(joinOf('silent-1', 10));
    await s.join(joinOf('silent-2', 11));
    await s.join(joinOf('late', start + 1));
    const rollout = running('rel', start, 400_000);
    const twice = [enrolAll(rollout), enrolAll(rollout)];
    await Promise.all(
      ids.slice(0, 200).map((id) => s.heartbeat({ id, at: start + 5, release: '', shortId: '', by: 'poll' })),
    );
    await Promise.all(twice);
    await enrolAll(rollout);
    expect(await sum('rel', 'n')).toBe(ids.length);
    expect(await sum('rel', 'r1')).toBe(ids.length);
    expect(await sum('rel', AGG.enrolled)).toBe(ids.length);
    expect(await sum('rel', AGG.silent)).toBe(2);
    expect(await s.children.record(shortIdOf('rel'), 'late')).toBeNull();
    expect(await s.children.record(shortIdOf('rel'), 'silent-1')).toBeNull();
    for (const id of ['e-0', 'e-1499', 'e-2299'])
      expect((await s.children.forPoll(id))?.offers).toEqual([{ release: 'rel', epoch: 1, n: 0 }]);
  });

  it('drops offers of releases that are over from a child that never took them', async () => {
    const id = name();
    await s.join(joinOf(id, 1_000));
    const enrolIn = (release: string): Promise<void> =>
      s.enrolment.enrolChild(s.children.partition(id), running(release, 2_000), id);
    for (const release of ['over', 'on']) {
      await s.releases.addUnfinished(release);
      await enrolIn(release);
    }
    await s.releases.removeUnfinished('over');
    await enrolIn('new');
    expect((await s.children.forPoll(id))?.offers.map(({ release }) => release)).toEqual(['on', 'new']);
  });

  it('adds no child to a partition whose enrolment is complete, whatever a job that was overtaken brings', async () => {
    await s.client.flushall();
    const rollout = running('complete', 1_000_000, 400_000);
    await s.join(joinOf('awake', 500_000));
    await s.join(joinOf('asleep', 10));
    await enrolAll(rollout);
    const [noted, counted] = [await sum('complete', AGG.enrolled), await sum('complete', 'n')];
    await s.heartbeat({ id: 'asleep', at: 600_000, release: '', shortId: '', by: 'poll' });
    for (let p = 0; p < s.partitions; p++) await s.enrolment.enrolFleet(p, rollout);
    expect([await sum('complete', AGG.enrolled), await sum('complete', 'n')]).toEqual([noted, counted]);
    expect(await s.children.record(shortIdOf('complete'), 'asleep')).toBeNull();
  });
});

describe('deleting a child', () => {
  it('is refused while it takes part in an unfinished release, or was seen lately', async () => {
    const id = name();
    const release = name();
    await s.join(joinOf(id, 1_000));
    await s.enrolment.enrolChild(s.children.partition(id), running(release, 2_000), id);
    expect(await s.children.delete(id, 5_000, ['another'])).toBe('underway');
    expect(await s.children.delete(id, 500, [release])).toBe('recent');
    expect(await s.children.delete('nobody', 500, [])).toBe('unknown');
    expect(await s.children.delete(id, 5_000, [release])).toBe('deleted');
    expect(await s.children.forPoll(id)).toBeNull();
    // Its release record stays.
    expect(await s.children.record(shortIdOf(release), id)).not.toBeNull();
  });
});

describe('the guarded write', () => {
  it('is made by one of many writers, and the others have done nothing', async () => {
    const id = name();
    const plan = PRESETS['global-incremental'];
    const before = publishedRollout({ release: id, shortId: '1', stages: [], plan });
    await s.client.hset(s.keys.rollout(id), { v: before.version, doc: JSON.stringify(before) });
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) => s.releases.write(before, abortRollout(before, i, `writer ${i}`))),
    );
    const writes = all.filter((written) => written !== false);
    expect(writes).toHaveLength(1);
    expect(await s.releases.rollout(id)).toEqual(writes[0]);
    expect((await s.releases.rollout(id))?.version).toBe(2);
  });
});

describe('publishing', () => {
  it('is once per id: the same bytes are the same, others are refused', async () => {
    const id = name();
    const plan = PRESETS['global-incremental'];
    const release = { id, strategy: {} as never, publishedAt: 1, yml: 'y', zip: 'z', warnings: [] };
    const files = { yml: Buffer.from('y'), zip: Buffer.from([0, 255, 1]) };
    const publish = (digest: string) =>
      s.releases.publish({
        release,
        digest,
        files,
        rollout: publishedRollout({ release: id, shortId: '1', stages: [], plan }),
        plan,
      });
    const all = await Promise.all([publish('d'), publish('d'), publish('d')]);
    expect(all.toSorted()).toEqual(['created', 'same', 'same']);
    expect(await publish('other')).toBe('different');
    expect(await s.releases.file('z')).toEqual(Buffer.from([0, 255, 1]));
  });

  it('keeps the whole plan beside the rollout; a start may bring another one, in the same write', async () => {
    const id = name();
    const plan = PRESETS.waves;
    const files = { yml: Buffer.from('y'), zip: Buffer.from('z') };
    const release = { id, strategy: {} as never, publishedAt: 1, yml: 'y', zip: 'z', warnings: [] };
    const published = publishedRollout({ release: id, shortId: '1', stages: [], plan });
    await s.releases.publish({ release, digest: 'd', files, rollout: published, plan });
    expect(await s.releases.plan(id)).toEqual(plan);
    const other = { ...PRESETS['location-parallel'], priority: 3 };
    const started = startRollout(published, other, 5, 0);
    const [first, second] = await Promise.all([
      s.releases.write(published, started, other),
      s.releases.write(published, started, plan),
    ]);
    expect(first).toMatchObject({ version: 2, plan: { priority: 3 } });
    expect(second).toBe(false);
    expect(await s.releases.plan(id)).toEqual(other);
    await s.releases.write(first as Rollout, abortRollout(first as Rollout, 6, 'no'));
    expect(await s.releases.plan(id)).toEqual(other);
  });

  const kept = async () =>
    (await s.client.keys(s.keys.bundle('*'))).map((key) => key.replace(s.keys.bundle(''), '')).sort();
  const publishAs = (id: string, yml: string, zip: string) =>
    s.releases.publish({
      release: { id, strategy: {} as never, publishedAt: 1, yml, zip, warnings: [] },
      digest: `${yml} ${zip}`,
      files: { yml: Buffer.from(yml), zip: Buffer.from(zip) },
      rollout: publishedRollout({ release: id, shortId: '1', stages: [], plan: PRESETS['global-incremental'] }),
      plan: PRESETS['global-incremental'],
    });

  it('keeps no file of a refused publish', async () => {
    await s.client.flushall();
    expect(await publishAs('one', 'y1', 'z')).toBe('created');
    expect(await publishAs('one', 'y2', 'z2')).toBe('different');
    expect(await kept()).toEqual(['y1', 'z']);
  });

  it('keeps no file of those that lose a race, but all files of other releases with equal bytes', async () => {
    for (let round = 0; round < 20; round++) {
      await s.client.flushall();
      const racers = ['a', 'b', 'c', 'a'].map((letter) => ({ yml: `y-${letter}`, zip: `z-${letter}` }));
      const [outcomes] = await Promise.all([
        Promise.all(racers.map(({ yml, zip }) => publishAs('raced', yml, zip))),
        publishAs('other', 'y-other', 'z-b'),
        publishAs('third', 'y-c', 'z-third'),
      ]);
      const winner = racers[outcomes.indexOf('created')];
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      const wanted = new Set([winner?.yml ?? '', winner?.zip ?? '', 'y-other', 'z-b', 'y-c', 'z-third']);
      expect(new Set(await kept())).toEqual(wanted);
      for (const file of wanted) expect(await s.releases.file(file)).toEqual(Buffer.from(file));
    }
  });
});

describe('paging', () => {
  it.each([1, 7, 100, 1000])('meets every member with pages of %d, though scores change meanwhile', async (limit) => {
    await s.client.flushall();
    const ids = Array.from({ length: 300 }, (_, i) => `p-${i}`);
    for (const id of ids) await s.client.zadd(s.keys.seen(s.children.partition(id)), 1, id);
    const met = new Set<string>();
    for (let cursor: string | null = null, page = 0; ; page++) {
      const found: { ids: string[]; next: string | null } = await pageOf(s.client, s.keys.seen, s.partitions, {
        cursor,
        limit,
      });
      expect(found.ids.length).toBeLessThanOrEqual(limit);
      for (const id of found.ids) met.add(id);
      for (const id of ids.slice(page % 10, (page % 10) + 5))
        await s.client.zadd(s.keys.seen(s.children.partition(id)), page + 2, id);
      cursor = found.next;
      if (cursor === null) break;
    }
    expect(met.size).toBe(ids.length);
  });

  it('filters by rank', async () => {
    await s.client.flushall();
    for (let i = 0; i < 50; i++) await s.client.zadd('z', i, `m-${i}`);
    const page = await pageOf(s.client, () => 'z', 1, { cursor: null, limit: 100, ranks: [10, 12] });
    expect(page).toEqual({ ids: ['m-10', 'm-11', 'm-12'], next: null });
  });
});

describe('a lease', () => {
  it('is taken again, with the partitions as they were, when Redis has lost all it had', async () => {
    await s.client.flushall();
    const take = (partitions: number) =>
      runScript(s.client, 'take-lease', {
        keys: { meta: s.keys.meta },
        args: ['one', 60_000, partitions, SCHEMA],
      });
    expect(await take(4)).toBe('taken');
    expect(await s.client.hmget(s.keys.meta, 'partitions', 'schema')).toEqual(['4', SCHEMA]);
    expect(await take(4)).toBe('taken');
    expect(await take(5)).toBe('moved');
    await s.client.hset(s.keys.meta, 'repartitioning', '7');
    expect(await take(4)).toBe('moving');
  });
});
