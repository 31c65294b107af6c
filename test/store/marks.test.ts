/** The manager's marks on children, on a real Redis: who gets one, who gives it back, and that counts stay true. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MARK } from '#domain/marks.ts';
import type { Report } from '#domain/record.ts';
import type { Rollout, RolloutStage } from '#domain/rollout.ts';
import { packNumbers } from '#domain/summary.ts';
import type { Sign } from '#store/child-store.ts';
import { namedReport, STAGES } from '#test/harness/arbitraries.ts';
import { createMarksStore } from '#store/marks-store.ts';
import { addsUp, givenEnrolled, runningRollout } from '#test/harness/records.ts';
import { openStores } from '#test/harness/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());

const STAGE_LIST: RolloutStage[] = [
  { name: 'Canary', type: 'WaitForSignal' },
  { name: 'Compare', type: 'A/B' },
  { name: 'Gradual', type: 'WaitForSignal' },
];
const WATCHED = { lostAfterMs: 60_000, deadline: { afterMs: 60_000, then: 'fail' } } as const;
const PLACES = ['all', '', '2/Berlin Mitte', '+2/Berlin Mitte'];

let serial = 0;
const name = (): string => `m${serial++}`;

function running(plan: Parameters<typeof runningRollout>[3] = WATCHED): Rollout {
  const release = name();
  return runningRollout(release, String(serial), STAGE_LIST, plan);
}

/** A rollout whose marks are asked for, with one child in it. */
async function given(membership = '2/Berlin Mitte', plan?: Parameters<typeof runningRollout>[3]) {
  const rollout = running(plan);
  await s.marks.arm(rollout);
  const id = name();
  await givenEnrolled(s, rollout, id, membership);
  return { rollout, id, p: s.children.partition(id) };
}

const report = (stage: number, status: Report['status'], next: number | null): Omit<Report, 'at'> => ({
  stage,
  status,
  next,
  digest: 'abcdefabcdef',
  summary: packNumbers([1, 1, 1, 5, 1, 1, 6, 1, 1, 0, 0]),
});
const COMPLETED = 4;
const FAILURE = 5;

const send = (rollout: Rollout, id: string, at: number, ...reports: Omit<Report, 'at'>[]) =>
  s.children.apply(rollout, { id, at, attempt: '', reports });
const sign = async (id: string, at: number, kind: Sign['kind'], rollout?: Rollout) => {
  const about = rollout === undefined ? { release: '', tag: '' } : { release: rollout.release, tag: rollout.tag };
  const [noted] = await s.children.heartbeatAll(s.children.partition(id), [{ id, at, kind, ...about }]);
  return noted;
};
const recordOf = async ({ tag }: Rollout, id: string) => {
  const record = await s.children.record(tag, id);
  if (record === null) throw new Error(`${id} is not enrolled`);
  return record;
};
const marksOf = async (rollout: Rollout, id: string): Promise<number> => (await recordOf(rollout, id)).marks;
const fieldsOf = async (id: string): Promise<string[]> =>
  (await s.client.hkeys(s.keys.child(s.children.partition(id), id))).sort();

describe('a child that is lost', () => {
  it('was silent since the cutoff, Todo or in a stage in which children ask', async () => {
    const { rollout, id, p } = await given();
    const later = name();
    await givenEnrolled(s, rollout, later, '2/Berlin Mitte', 5_001);
    const both = [id, later].filter((each) => s.children.partition(each) === p);
    expect(await s.marks.markLost(p, rollout, both, 5_000)).toEqual([id]);
    expect(await s.marks.markLost(p, rollout, both, 5_000)).toEqual([]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 2, m1: 1 });
    await send(rollout, id, 6_000);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, r2: 1, 's0.1': 1 });
    expect(await s.marks.markLost(p, rollout, [id], 6_999)).toEqual([id]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, r2: 1, 's0.1': 1, m1: 1 });
  });

  it('is never in an A/B stage, has not ended, and was not taken out', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000, report(0, COMPLETED, 1));
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([]);
    await send(rollout, id, 3_000, report(1, COMPLETED, 2));
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    await send(rollout, id, 4_000, report(2, FAILURE, null));
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([]);
    const out = await given();
    await s.marks.eject(out.rollout, out.id);
    expect(await s.marks.markLost(out.p, out.rollout, [out.id], 1_000_000)).toEqual([]);
    for (const each of [rollout, out.rollout]) await addsUp(s, each);
  });

  it('is none that runs another release, before it is lost there', async () => {
    const { rollout, id, p } = await given();
    const other = running();
    await s.marks.arm(other);
    await givenEnrolled(s, other, id, 'all');
    await send(other, id, 2_000, report(0, COMPLETED, 1));
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([]);
    await sign(id, 20_000, 'poll', other);
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    await sign(id, 21_000, 'ask', other);
    expect(await marksOf(rollout, id)).toBe(0);
    await send(other, id, 22_000, report(1, COMPLETED, 2));
    await s.marks.markLost(p, other, [id], 1_000_000);
    expect(await s.marks.markLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    for (const each of [rollout, other]) await addsUp(s, each);
  });

  it.each([
    ['a download', (rollout: Rollout, id: string) => send(rollout, id, 9_000)],
    ['a result', (rollout: Rollout, id: string) => send(rollout, id, 9_000, report(0, 2, 1))],
    ['a poll', (_: Rollout, id: string) => sign(id, 9_000, 'poll')],
    ['a question about its stage', (rollout: Rollout, id: string) => sign(id, 9_000, 'ask', rollout)],
    ['a sign about another release', (_: Rollout, id: string) => sign(id, 9_000, 'ask', running())],
  ])('and Todo comes back with %s', async (_, comeBack) => {
    const { rollout, id, p } = await given();
    await s.marks.markLost(p, rollout, [id], 5_000);
    await comeBack(rollout, id);
    expect(await marksOf(rollout, id)).toBe(0);
    expect((await addsUp(s, rollout))['m1']).toBeUndefined();
    expect(await fieldsOf(id)).not.toContain('l');
  });

  it.each(['ask', 'result'])('and Doing comes back with its next %s, and not by a poll', async (how) => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 1_500);
    await s.marks.markLost(p, rollout, [id], 5_000);
    await sign(id, 8_000, 'poll', rollout);
    expect(await marksOf(rollout, id)).toBe(MARK.lost);
    if (how === 'ask') expect(await sign(id, 9_000, 'ask', rollout)).toEqual({ moved: [rollout.release] });
    else await send(rollout, id, 9_000, report(0, 2, 1));
    expect(await marksOf(rollout, id)).toBe(0);
    await addsUp(s, rollout);
  });

  it('is given back in all releases that it was lost in, and each is named', async () => {
    const { rollout, id, p } = await given();
    const other = running();
    await givenEnrolled(s, other, id, 'all');
    for (const each of [rollout, other]) await s.marks.markLost(p, each, [id], 5_000);
    const noted = await sign(id, 9_000, 'poll');
    expect(noted).toEqual({ moved: [rollout.release, other.release] });
    for (const each of [rollout, other]) expect(await addsUp(s, each)).toEqual({ n: 1, r1: 1 });
    expect(await sign(id, 9_500, 'poll')).toBe(1);
  });

  it('stays lost for an old sign that is applied late', async () => {
    const { rollout, id, p } = await given();
    await sign(id, 4_000, 'poll');
    await s.marks.markLost(p, rollout, [id], 5_000);
    await sign(id, 3_000, 'poll');
    expect(await marksOf(rollout, id)).toBe(MARK.lost);
  });

  it('leaves nothing in its hash when it is back', async () => {
    const { rollout, id, p } = await given();
    const before = await fieldsOf(id);
    await s.marks.markLost(p, rollout, [id], 5_000);
    await sign(id, 9_000, 'poll');
    expect(await fieldsOf(id)).toEqual(before);
  });
});

describe('a child that polls though it runs the release', () => {
  const LEFT_AT = 12_000;

  it.each(PLACES)('is lost at once, in an A/B stage too, until it asks again (%j)', async (membership) => {
    const { rollout, id } = await given(membership);
    await send(rollout, id, 1_500);
    await send(rollout, id, 2_000, report(0, COMPLETED, 1));
    expect(await sign(id, 2_000 + 9_999, 'poll', rollout)).toBe(1);
    expect(await marksOf(rollout, id)).toBe(0);
    expect(await sign(id, LEFT_AT, 'poll', rollout)).toEqual({ moved: [rollout.release] });
    expect(await marksOf(rollout, id)).toBe(MARK.lost);
    expect((await addsUp(s, rollout))['m1']).toBe(1);
    expect(await sign(id, LEFT_AT + 3_000, 'poll', rollout)).toBe(1);
    expect((await s.children.forPoll(id))?.left).toBe(true);
    expect(await sign(id, LEFT_AT + 4_000, 'ask', rollout)).toEqual({ moved: [rollout.release] });
    expect(await marksOf(rollout, id)).toBe(0);
    expect((await s.children.forPoll(id))?.left).toBe(false);
    await addsUp(s, rollout);
  });

  it('is only shown as having left where the plan counts nobody as lost', async () => {
    const { rollout, id } = await given('all', { lostAfterMs: null });
    await send(rollout, id, 2_000);
    expect(await sign(id, LEFT_AT, 'poll', rollout)).toBe(1);
    expect((await s.children.forPoll(id))?.left).toBe(true);
    expect(await marksOf(rollout, id)).toBe(0);
  });

  it('has left for all that it asked before', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000);
    await sign(id, LEFT_AT, 'poll', rollout);
    await sign(id, LEFT_AT - 1, 'ask', rollout);
    expect(await marksOf(rollout, id)).toBe(MARK.lost);
    expect((await s.children.forPoll(id))?.left).toBe(true);
  });

  it('is not lost where it was taken out', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000);
    await s.marks.eject(rollout, id);
    expect(await sign(id, LEFT_AT, 'poll', rollout)).toBe(1);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('counts as lost also where it had left before that was noted', async () => {
    const { rollout, id, p } = await given('all', { lostAfterMs: null });
    await send(rollout, id, 2_000, report(0, COMPLETED, 1));
    await sign(id, LEFT_AT, 'poll', rollout);
    expect(await s.marks.markLost(p, rollout, [id], 0)).toEqual([id]);
  });
});

describe('a child that is overdue', () => {
  it('has been InProgress in one stage for so long', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000);
    await send(rollout, id, 2_500);
    expect(await s.marks.longInStage(p, rollout, 1_999, 0, 9)).toEqual([]);
    expect(await s.marks.longInStage(p, rollout, 2_000, 0, 9)).toEqual([id]);
    expect(await s.marks.markOverdue(p, rollout, [id], 1_999)).toEqual([]);
    expect(await s.marks.markOverdue(p, rollout, [id], 2_000)).toEqual([id]);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, r2: 1, 's0.1': 1, m2: 1 });
    expect(await s.marks.longInStage(p, rollout, 9_999, 0, 9)).toEqual([]);
    // Saying the same again is no progress.
    await send(rollout, id, 3_000);
    expect(await marksOf(rollout, id)).toBe(MARK.overdue);
    await send(rollout, id, 4_000, report(0, COMPLETED, 1));
    expect(await marksOf(rollout, id)).toBe(0);
    expect(await s.marks.longInStage(p, rollout, 4_000, 0, 9)).toEqual([id]);
    await addsUp(s, rollout);
  });

  it('is nobody who waits, has ended or was taken out', async () => {
    for (const end of [report(0, 2, 1), report(0, FAILURE, null), null]) {
      const { rollout, id, p } = await given();
      await send(rollout, id, 2_000);
      if (end === null) await s.marks.eject(rollout, id);
      else await send(rollout, id, 3_000, end);
      expect(await s.marks.longInStage(p, rollout, 9_999, 0, 9)).toEqual([]);
      await s.client.zadd(s.keys.due(p, rollout.release), 2_000, id);
      expect(await s.marks.markOverdue(p, rollout, [id], 9_999)).toEqual([]);
    }
  });

  it('may be lost as well, and counts once under both', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000);
    await s.marks.markLost(p, rollout, [id], 5_000);
    await s.marks.markOverdue(p, rollout, [id], 5_000);
    expect((await addsUp(s, rollout))['m3']).toBe(1);
    await sign(id, 9_000, 'ask', rollout);
    expect((await addsUp(s, rollout))['m2']).toBe(1);
  });
});

describe('trying again', () => {
  it('is a new attempt of those who Failed or are lost, and of nobody else', async () => {
    const rollout = running();
    await s.marks.arm(rollout);
    const [failed, silent, waiting, done, out] = Array.from({ length: 5 }, name) as [
      string,
      string,
      string,
      string,
      string,
    ];
    for (const [i, id] of [failed, silent, waiting, done, out].entries())
      await givenEnrolled(s, rollout, id, PLACES[i % PLACES.length]);
    await send(rollout, failed, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, null));
    await send(rollout, silent, 2_000, report(0, 2, 1));
    await sign(silent, 20_000, 'poll', rollout);
    await send(rollout, waiting, 2_000, report(0, 2, 1));
    await send(rollout, done, 2_000, report(0, COMPLETED, null));
    await send(rollout, out, 2_000, report(0, FAILURE, null));
    await s.marks.eject(rollout, out);
    const again = { ...rollout, epoch: 7 };
    const all = [failed, silent, waiting, done, out, 'nobody', failed];
    expect((await s.marks.retry(again, all)).sort()).toEqual([failed, silent].sort());
    expect(await s.marks.retry(again, all)).toEqual([]);
    for (const id of [failed, silent]) {
      const { attempt, status, stages, marks, epoch } = await recordOf(rollout, id);
      expect({ attempt, status, marks, epoch }).toEqual({ attempt: 2, status: 1, marks: 0, epoch: 7 });
      expect(stages.every((stage) => stage.status === 0 && stage.kept === null)).toBe(true);
      const view = await s.children.forPoll(id);
      expect(view?.offers.map(({ release, epoch: e }) => [release, e])).toEqual([[rollout.release, 7]]);
      expect(view).toMatchObject({ underway: null, left: false });
      expect((await fieldsOf(id)).filter((field) => field.startsWith(`${rollout.tag}.`))).toEqual([]);
    }
    const old = { id: failed, at: 9_000, attempt: 1, reports: [report(1, FAILURE, null)] };
    expect(await s.children.apply(rollout, old)).toEqual({ code: 'stale' });
    expect(await addsUp(s, rollout)).toMatchObject({ n: 5, r1: 2, r2: 1, r3: 1, m4: 1 });
    await send(rollout, failed, 9_000, report(0, COMPLETED, null));
    expect(await addsUp(s, rollout)).toMatchObject({ r3: 2 });
  });

  it('is nothing for a child that was deleted, also right then', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000, report(0, FAILURE, null));
    const [before] = await s.children.held(p, rollout, [id], true);
    if (before?.head == null) throw new Error('it is not enrolled');
    expect(await s.children.delete(id, 9_000, [])).toBe('deleted');
    const counts = await addsUp(s, rollout);
    expect(await s.marks.retry(rollout, [id])).toEqual([]);
    const change = { before, after: { ...before.head, attempt: 2 }, offer: 'made' as const };
    expect(await s.children.swap(p, rollout, [change])).toEqual([false]);
    expect(await addsUp(s, rollout)).toEqual(counts);
    expect(await fieldsOf(id)).not.toContain('p');
  });

  it('keeps what else a child is offered', async () => {
    const { rollout, id } = await given();
    const key = s.keys.child(s.children.partition(id), id);
    await send(rollout, id, 2_000, report(0, FAILURE, null));
    await s.client.hset(key, 'p', 'other:3:4');
    await s.marks.retry(rollout, [id]);
    expect((await s.children.forPoll(id))?.offers).toEqual([
      { release: 'other', epoch: 3, n: 4 },
      { release: rollout.release, epoch: 1, n: 2 },
    ]);
  });

  it.each([null, 'Berlin Mitte', 'elsewhere'])(
    'finds all of them, of one location or of all (%s)',
    async (location) => {
      const rollout = running();
      await s.marks.arm(rollout);
      const ids = Array.from({ length: 1_500 }, (_, i) => `${rollout.release}-${i}`);
      await Promise.all(ids.map((id, i) => givenEnrolled(s, rollout, id, PLACES[i % PLACES.length])));
      const [failed, silent] = [ids.filter((_, i) => i % 10 === 3), ids.filter((_, i) => i % 10 === 6)];
      await Promise.all(failed.map((id) => send(rollout, id, 9_000, report(0, FAILURE, null))));
      for (let p = 0; p < s.partitions; p++)
        await s.marks.markLost(
          p,
          rollout,
          silent.filter((id) => s.children.partition(id) === p),
          5_000,
        );
      const found = new Set<string>();
      for (let p = 0; p < s.partitions; p++)
        for (let cursor: string | null = null; ;) {
          const page: Awaited<ReturnType<typeof s.marks.failedOrLost>> = await s.marks.failedOrLost(
            p,
            rollout,
            location,
            cursor,
          );
          for (const id of page.ids) found.add(id);
          await s.marks.retry(rollout, page.ids);
          if (page.next === null) break;
          cursor = page.next;
        }
      const isThere = (id: string): boolean =>
        location === null || (ids.indexOf(id) % 4 > 1 && location !== 'elsewhere');
      expect([...found].sort()).toEqual([...failed, ...silent].filter(isThere).sort());
      expect((await addsUp(s, rollout))['n']).toBe(1_500);
    },
  );

  it('looks at nobody where nobody is to be found', async () => {
    const { rollout, p } = await given();
    expect(await s.marks.failedOrLost(p, rollout, null, null)).toEqual({ ids: [], next: null });
  });
});

describe('taking a child out', () => {
  it.each(PLACES)('counts it no more, whatever it does, and offers it nothing (%j)', async (membership) => {
    const { rollout, id } = await given(membership);
    await givenEnrolled(s, rollout, name(), membership);
    expect(await s.marks.eject(rollout, id)).toBe('ejected');
    expect(await s.marks.eject(rollout, id)).toBe('ejected');
    expect((await s.children.forPoll(id))?.offers).toEqual([]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, m4: 1 });
    await send(rollout, id, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, null));
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, m4: 1 });
    expect((await recordOf(rollout, id)).status).toBe(4);
  });

  it('takes its failure back, but not what it is Done with', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, null));
    expect(await s.marks.eject(rollout, id)).toBe('ejected');
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
    const done = await given();
    await send(done.rollout, done.id, 2_000, report(0, COMPLETED, null));
    expect(await s.marks.eject(done.rollout, done.id)).toBe('done');
  });

  it('takes one out that is still to be enrolled: its turn never comes', async () => {
    const rollout = running({ ...WATCHED, locations: { by: 'child' } });
    const id = name();
    const p = s.children.partition(id);
    expect(await s.marks.eject(rollout, id)).toBe('unknown');
    await s.join({ id, at: 1_000, area: 'A', digest: 'd', childCount: 0 });
    await s.client.zadd(s.keys.order(p, rollout.release), 1_000, id);
    expect(await s.marks.eject(rollout, id)).toBe('ejected');
    expect(await s.client.zscore(s.keys.order(p, rollout.release), id)).toBeNull();
    expect(await recordOf(rollout, id)).toMatchObject({ status: 1, marks: MARK.ejected, membership: '' });
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
    expect((await s.children.forPoll(id))?.offers).toEqual([]);
  });

  it('adds nobody to a partition that is marked as enrolled: gates open on the number in the mark', async () => {
    const rollout = running();
    const [before, after] = [name(), name()];
    for (const id of [before, after]) await s.join({ id, at: 1_000, area: 'A', digest: 'd', childCount: 0 });
    expect(await s.marks.eject(rollout, before)).toBe('ejected');
    expect((await recordOf(rollout, before)).membership).toBe('all');
    for (let p = 0; p < s.partitions; p++) await s.client.hset(s.keys.agg(p, rollout.release), '@mark', 1);
    expect(await s.marks.eject(rollout, after)).toBe('unenrolled');
    expect(await s.children.record(rollout.tag, after)).toBeNull();
    // Also where the mark comes between the look and the write.
    const [held] = await s.children.held(s.children.partition(after), rollout, [after], true);
    const { head } = (await s.children.held(s.children.partition(before), rollout, [before], true))[0] ?? {};
    if (held === undefined || head == null) throw new Error('nobody is there');
    const change = { before: held, after: head, unmarked: true };
    expect(await s.children.swap(s.children.partition(after), rollout, [change])).toEqual([false]);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });
});

describe('ending a stage by hand', () => {
  it('is for a child that is in it, and for a WaitForSignal stage', async () => {
    const { rollout, id } = await given();
    expect(await s.marks.endByHand(rollout, id, 0)).toBe(false);
    await send(rollout, id, 2_000);
    expect(await s.marks.endByHand(rollout, id, 2)).toBe(false);
    const before = await addsUp(s, rollout);
    expect(await s.marks.endByHand(rollout, id, 0)).toBe(true);
    expect(await s.marks.endByHand(rollout, id, 0)).toBe(true);
    expect((await recordOf(rollout, id)).hand).toBe(1);
    expect(await addsUp(s, rollout)).toEqual(before);
    await send(rollout, id, 3_000, report(0, COMPLETED, 1));
    expect(await s.marks.endByHand(rollout, id, 1)).toBe(false);
    expect(await s.marks.endByHand(rollout, id, 0)).toBe(false);
    await send(rollout, id, 4_000, report(1, COMPLETED, 2));
    expect(await s.marks.endByHand(rollout, id, 2)).toBe(true);
    expect((await recordOf(rollout, id)).hand).toBe(3);
    expect(await s.marks.endByHand(rollout, 'nobody', 0)).toBe(false);
    await s.marks.eject(rollout, id);
    expect(await s.marks.endByHand(rollout, id, 2)).toBe(false);
  });
});

describe('a change of a record', () => {
  it('is of what was read, or of nothing', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000, report(0, 2, 1));
    const [before] = await s.children.held(p, rollout, [id], true);
    if (before?.head == null) throw new Error('it is not enrolled');
    const change = { before, after: { ...before.head, marks: MARK.ejected } };
    // The head stays as it is: only the kept report is another one.
    await send(rollout, id, 2_000, {
      ...report(0, 2, 1),
      digest: 'ffffffffffff',
      summary: packNumbers(Array(11).fill(3)),
    });
    const counts = await addsUp(s, rollout);
    expect((await s.children.held(p, rollout, [id], true))[0]?.head).toEqual(before.head);
    expect(await s.children.swap(p, rollout, [change])).toEqual([false]);
    expect(await addsUp(s, rollout)).toEqual(counts);
    await s.marks.eject(rollout, id);
    expect(await s.children.swap(p, rollout, [change])).toEqual([false]);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('is not made where a sign of life came in between', async () => {
    const { rollout, id, p } = await given();
    const [before] = await s.children.held(p, rollout, [id], false);
    if (before?.head == null) throw new Error('it is not enrolled');
    const change = { before, after: { ...before.head, marks: MARK.lost }, seenBefore: 5_000 };
    await sign(id, 5_001, 'poll');
    expect(await s.children.swap(p, rollout, [change])).toEqual([false]);
    expect(await marksOf(rollout, id)).toBe(0);
  });

  it('is judged again where a message slipped in between', async () => {
    const { rollout, id, p } = await given();
    const slips: (() => Promise<unknown>)[] = [];
    const marks = createMarksStore(s.client, s.keys, {
      ...s.children,
      async swap(...args) {
        await slips.shift()?.();
        return s.children.swap(...args);
      },
    });
    // It comes back right then; it's still to be taken out then; it has failed for good by then.
    slips.push(() => sign(id, 5_001, 'poll'));
    expect(await marks.markLost(p, rollout, [id], 5_000)).toEqual([]);
    slips.push(() => send(rollout, id, 6_000));
    expect(await marks.endByHand(rollout, id, 0)).toBe(false);
    slips.push(() => send(rollout, id, 7_000, report(0, 2, 1)));
    expect(await marks.endByHand(rollout, id, 0)).toBe(true);
    expect(await recordOf(rollout, id)).toMatchObject({ hand: 1, stages: [{ status: 2 }, {}, {}] });
    slips.push(() => send(rollout, id, 8_000, report(0, FAILURE, null)));
    expect(await marks.eject(rollout, id)).toBe('ejected');
    expect(await recordOf(rollout, id)).toMatchObject({ status: 4, marks: MARK.ejected });
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('is told to whoever holds an answer for the child', async () => {
    const told: string[] = [];
    const listener = await s.connect();
    listener.on('message', (_channel: string, ids: string) => told.push(ids));
    await listener.subscribe(s.keys.moved);
    const { rollout, id, p } = await given();
    await s.marks.markLost(p, rollout, [id], 5_000);
    await s.marks.retry(rollout, [id]);
    await s.marks.retry(rollout, [id]);
    await s.marks.eject(rollout, id);
    await listener.ping();
    expect(told).toEqual([id, id, id]);
  });

  it('keeps all counts true, whoever races whom (law 3)', async () => {
    const act = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('report' as const), report: namedReport }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom('download', 'lost', 'overdue', 'retry', 'eject', 'hand', 'poll', 'ask'),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(4), act), { minLength: 5, maxLength: 40 }),
        fc.array(fc.constantFrom(...PLACES), { minLength: 5, maxLength: 5 }),
        async (acts, places) => {
          const rollout = running();
          await s.marks.arm(rollout);
          const ids = Array.from({ length: 5 }, name);
          for (const [i, id] of ids.entries()) await givenEnrolled(s, rollout, id, places[i]);
          let at = 1_700_000_000_000;
          await Promise.all(
            acts.map(([child, what]): Promise<unknown> => {
              const id = ids[child] ?? '';
              const p = s.children.partition(id);
              at += 7_000;
              if ('report' in what) return send(rollout, id, at, what.report);
              if (what.do === 'download') return send(rollout, id, at);
              if (what.do === 'lost')
                return s.marks.markLost(
                  p,
                  rollout,
                  ids.filter((each) => s.children.partition(each) === p),
                  at,
                );
              if (what.do === 'overdue') return s.marks.markOverdue(p, rollout, [id], at);
              if (what.do === 'retry') return s.marks.retry(rollout, ids);
              if (what.do === 'eject') return s.marks.eject(rollout, id);
              if (what.do === 'hand') return s.marks.endByHand(rollout, id, child % STAGES);
              return sign(id, at, what.do === 'poll' ? 'poll' : 'ask', child % 2 === 0 ? rollout : undefined);
            }),
          );
          await addsUp(s, rollout);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('what marks are made from', () => {
  it('is noted only where a plan asks for it, in each partition', async () => {
    for (const [plan, flags] of [
      [{}, []],
      [{ lostAfterMs: 1 }, ['@lost']],
      [{ deadline: WATCHED.deadline }, ['@due']],
    ] as const) {
      const rollout = running(plan);
      await s.marks.arm(rollout);
      for (let p = 0; p < s.partitions; p++)
        expect(await s.client.hkeys(s.keys.agg(p, rollout.release))).toEqual(flags);
    }
    const { rollout, id, p } = await given('all', {});
    await send(rollout, id, 2_000);
    expect(await s.client.exists(s.keys.due(p, rollout.release))).toBe(0);
    expect(await fieldsOf(id)).toEqual([rollout.tag, 'a', 'd', 'f', 's', 'u'].sort());
  });
});
