/** Enrolling children that were put in order: whatever dies or overlaps, each child once, and never more than may be. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Plan } from '#domain/plan/plan.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { runScript } from '#store/connection/script.ts';
import { openAt, openSpread, region, type Spread, square } from '#test/harness/plans/spread.ts';

const stack = new AsyncDisposableStack();
let s: Spread;
beforeAll(async () => {
  s = await openSpread(stack);
});
beforeEach(() => s.client.flushall());
afterAll(() => stack.disposeAsync());

const HERE: Partial<Plan> = {
  locations: { by: 'regions', regions: [region('here', 10, 50), region('there', 20, 50)], outside: 'refuse' },
  stages: 'own-pace',
};
const COHORTS: Partial<Plan> = { locations: { by: 'child' }, waves: { kind: 'doubling' } };

const idsOf = (count: number, prefix = 'c'): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** A rollout whose children were put in order of joining, with one location open. */
async function givenOpen(
  count: number,
  plan: Partial<Plan> = HERE,
  open: OpenLocation = openAt('here', 1),
): Promise<Rollout> {
  await Promise.all(idsOf(count).map((id, i) => s.join(id, 10_000 + i, square(10, 50))));
  const started = await s.start(plan);
  await s.order(started);
  return s.change(started.release, {
    open: [open],
    started: { locations: 1, waves: 1 },
    effects: [],
    order: { locations: 1, children: count, outside: 0 },
  });
}

const firstOpen = ({ open }: Rollout): OpenLocation => open[0] ?? openAt('none', 0);
const tokens = async (rollout: Rollout, ids: readonly string[]) =>
  (await Promise.all(ids.map((id) => s.children.head(rollout.shortId, id)))).map((head) => head?.token);

describe('a location at once', () => {
  it('is enrolled in batches that any job may go on with: each child once, with its offer, its record and its counts', async () => {
    const rollout = await givenOpen(1_700);
    const ids = idsOf(1_700);
    const batch = (p: number): Promise<boolean> => s.enrolment.enrolFirst(p, rollout, firstOpen(rollout));
    expect(await batch(0)).toBe(false);
    // What one batch has done is done: members are enrolled or still to be.
    const early = await s.enrolled(rollout.release);
    expect(early).toHaveLength(250);
    expect([...early, ...(await s.todo(rollout.release, 'here'))].toSorted()).toEqual(ids.toSorted());
    expect(await s.sum(rollout.release, 'n', '1/here')).toBe(250);
    const job = async (): Promise<void> => {
      for (const p of s.all) while (!(await batch(p)));
    };
    await Promise.all([job(), job(), job()]);
    expect(await s.enrolled(rollout.release)).toEqual(ids.toSorted());
    expect(await s.todo(rollout.release, 'here')).toEqual([]);
    for (const field of ['n', 'r1'])
      expect([await s.sum(rollout.release, field), await s.sum(rollout.release, field, '1/here')]).toEqual([
        1_700, 1_700,
      ]);
    expect(await tokens(rollout, ['c-0', 'c-1699'])).toEqual(['1/here', '1/here']);
    const offered = await s.client.hget(s.keys.child(s.children.partition('c-7'), 'c-7'), 'p');
    expect(offered).toBe(`${rollout.release}:1:1`);
  });

  it('moves a child from those to come to those that are counted in one step', async () => {
    const rollout = await givenOpen(1_200);
    const seen: number[] = [];
    let done = false;
    const watch = async (): Promise<void> => {
      while (!done) {
        const view = (await s.snapshots.aggregates(rollout)).locations.get('here');
        seen.push((view?.left ?? 0) + (view?.counts.enrolled ?? 0));
      }
    };
    const watches = [watch(), watch()];
    for (const p of s.all) while (!(await s.enrolment.enrolFirst(p, rollout, firstOpen(rollout))));
    done = true;
    await Promise.all(watches);
    expect(seen.length).toBeGreaterThan(2);
    expect(new Set(seen)).toEqual(new Set([1_200]));
  });

  it('takes late joiners apart from its own, once these are known', async () => {
    const rollout = await givenOpen(4);
    for (const p of s.all) await s.enrolment.enrolFirst(p, rollout, firstOpen(rollout));
    const settled = await s.change(rollout.release, { open: [openAt('here', 1, { children: 4 })] });
    await s.join('late', 20_000, square(10, 50));
    await s.client.zadd(s.keys.todo(s.children.partition('late'), rollout.release, 'here'), 20_000, 'late');
    for (const p of s.all) await s.enrolment.enrolFirst(p, settled, firstOpen(settled));
    expect(await tokens(settled, ['c-0', 'late'])).toEqual(['1/here', '+1/here']);
    expect(await s.sum(settled.release, 'n', '1/here')).toBe(4);
    expect(await s.sum(settled.release, 'n', '+1/here')).toBe(1);
    expect(await s.sum(settled.release, 'n')).toBe(5);
  });

  it('leaves out a child that was deleted, or is enrolled elsewhere, and counts it as a member no more', async () => {
    const rollout = await givenOpen(6);
    await s.children.delete('c-2', 1_000_000, []);
    const p = s.children.partition('c-4');
    await s.client.zadd(s.keys.todo(p, rollout.release, 'there'), 5, 'c-4');
    const there = openAt('there', 2);
    await s.enrolment.enrolFirst(p, { ...rollout, open: [...rollout.open, there] }, there);
    for (const each of s.all) expect(await s.enrolment.enrolFirst(each, rollout, firstOpen(rollout))).toBe(true);
    expect(await s.enrolled(rollout.release)).toEqual(['c-0', 'c-1', 'c-3', 'c-4', 'c-5']);
    expect(await tokens(rollout, ['c-4'])).toEqual(['2/there']);
    const sizes = await Promise.all(s.all.map((each) => s.client.hget(s.keys.sizes(each, rollout.release), 'n:here')));
    expect(sizes.reduce((sum, n) => sum + Number(n), 0)).toBe(4);
  });
});

describe('so many and no more', () => {
  it('are the first over all partitions', async () => {
    const rollout = await givenOpen(30);
    const job = async (upTo: number): Promise<void> => {
      while (!(await s.enrolment.enrolUpTo(rollout, firstOpen(rollout), upTo)));
    };
    await job(1);
    expect(await s.enrolled(rollout.release)).toEqual(['c-0']);
    await job(7);
    expect(await s.enrolled(rollout.release)).toEqual(idsOf(7).toSorted());
    await job(7);
    await job(3);
    expect(await s.enrolled(rollout.release)).toHaveLength(7);
    await job(1_000);
    expect(await s.enrolled(rollout.release)).toHaveLength(30);
  });

  it('are never exceeded by jobs that overlap, nor by one that was delayed and comes late', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ upTo: fc.integer({ min: 1, max: 40 }), delay: fc.nat(6) }), {
          minLength: 2,
          maxLength: 6,
        }),
        async (jobs) => {
          await s.client.flushall();
          const rollout = await givenOpen(60);
          const most = Math.max(...jobs.map(({ upTo }) => upTo));
          const arrivals = async (): Promise<void> => {
            // Children that come to the front meanwhile change which ones are first.
            for (let i = 0; i < 12; i++) {
              const id = `front-${i}`;
              await s.join(id, 30_000 + i, square(10, 50));
              await s.client.zadd(s.keys.todo(s.children.partition(id), rollout.release, 'here'), 9_000 - i, id);
            }
          };
          const job = async ({ upTo, delay }: { upTo: number; delay: number }): Promise<void> => {
            for (let i = 0; i < delay; i++) await s.client.ping();
            // Overtaken or done: both say so.
            while (!(await s.enrolment.enrolUpTo(rollout, firstOpen(rollout), upTo)));
          };
          await Promise.all([arrivals(), ...jobs.map(job)]);
          expect((await s.enrolled(rollout.release)).length).toBeLessThanOrEqual(most);
          // And a job that was overtaken is repeated by the next tick.
          while (!(await s.enrolment.enrolUpTo(rollout, firstOpen(rollout), most)));
          expect(await s.enrolled(rollout.release)).toHaveLength(most);
          expect(await s.sum(rollout.release, 'n', '1/here')).toBe(most);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('shut a job out in every partition once a later one has begun', async () => {
    const rollout = await givenOpen(40);
    const [p = 0, q = 0] = s.all;
    const take = (each: number, fence: number) =>
      firstInOrder(each, fence).then((reply) => (reply === null ? 'overtaken' : Number(reply[0])));
    const { release } = rollout;
    const firstInOrder = (each: number, fence: number) =>
      runScript(s.client, 'first-in-order', {
        keys: {
          own: s.keys.aggOf(each, release, '1/here'),
          late: s.keys.aggOf(each, release, '+1/here'),
          from: s.keys.todo(each, release, 'here'),
        },
        args: [fence, 5],
      }) as Promise<string[] | null>;
    expect(await take(p, 5)).toBe(0);
    expect(await take(p, 7)).toBe(0);
    expect(await take(p, 6)).toBe('overtaken');
    expect(await take(q, 6)).toBe(0);
  });

  it('count late joiners too, and go wave by wave where waves are of children', async () => {
    const wave = (n: number, members: number, parts: Partial<OpenLocation> = {}): OpenLocation =>
      openAt(`wave-${n}`, n, { members, ...parts });
    const first = await givenOpen(7, COHORTS, wave(1, 1));
    const fill = async (rollout: Rollout, upTo: number): Promise<void> => {
      while (!(await s.enrolment.enrolUpTo(rollout, firstOpen(rollout), upTo)));
    };
    await fill(first, 1);
    const second = await s.change(first.release, { open: [wave(2, 2)] });
    await fill(second, 2);
    expect(await s.enrolled(first.release)).toEqual(['c-0', 'c-1', 'c-2']);
    expect(await tokens(first, ['c-0', 'c-1', 'c-2'])).toEqual(['1/wave-1', '2/wave-2', '2/wave-2']);
    const settled = await s.change(first.release, { open: [wave(2, 4, { children: 2 })] });
    await fill(settled, 4);
    expect(await tokens(first, ['c-3', 'c-4'])).toEqual(['+2/wave-2', '+2/wave-2']);
    await fill(settled, 4);
    expect(await s.enrolled(first.release)).toHaveLength(5);
    const { locations, order } = await s.snapshots.aggregates(settled);
    expect([locations.get('wave-2')?.left, order?.left]).toEqual([2, 2]);
  });
});

describe('jobs', () => {
  const ASKED = [{ kind: 'enrol', location: 'here', upTo: null }] as const;

  it.each<[string, Partial<Rollout>]>([
    ['the rollout is paused', { state: 'paused' }],
    ['its epoch is old', { epoch: 2 }],
    ['the location is held', { open: [openAt('here', 1, { held: 'why' })] }],
    ['the location is no longer open', { open: [openAt('there', 2)] }],
    ['it is not asked for any more', { effects: [], open: [openAt('here', 2)] }],
  ])('enrol no child when %s', async (_, parts) => {
    const rollout = await givenOpen(5);
    await s.change(rollout.release, { effects: ASKED, ...parts });
    const { release, epoch } = rollout;
    for (const p of s.all) await s.runJob({ release, partition: p, kind: 'enrol', epoch, wave: 1 });
    await s.runJob({ release, partition: 0, kind: 'enrol-up-to', epoch, n: 1, upTo: 3 });
    expect(await s.enrolled(release)).toEqual([]);
  });

  it('enrol otherwise', async () => {
    const { release, epoch } = await givenOpen(5);
    await s.change(release, { effects: ASKED });
    await s.runJob({ release, partition: 0, kind: 'enrol-up-to', epoch, n: 1, upTo: 3 });
    expect(await s.enrolled(release)).toHaveLength(3);
    for (const p of s.all) await s.runJob({ release, partition: p, kind: 'enrol', epoch, wave: 1 });
    expect(await s.enrolled(release)).toHaveLength(5);
  });
});
