/** The manager's flags on children, on a real Redis: which child gets one, which gives it back, and that counts stay true. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FLAG } from '#domain/child/flags.ts';
import { NO_NEXT, type StageReport } from '#domain/child/report.ts';
import type { HeartbeatMessage, ResultMessage } from '#domain/child/messages.ts';
import type { Rollout, RolloutStage } from '#domain/rollout/rollout.ts';
import { packNumbers } from '#domain/child/summary.ts';
import type { ReadRecord, RecordChange } from '#store/children/compare-and-set.ts';
import { namedReport, STAGES } from '#test/harness/plans/arbitraries.ts';
import { createFlagStore } from '#store/children/flag-store.ts';
import { addsUp, givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { openStores } from '#test/harness/redis/stores.ts';

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
const MEMBERSHIPS = ['all', '', '2/Berlin Mitte', '+2/Berlin Mitte'];

/** Of `longInStage`: all that these tests may find. */
const PAGE = { offset: 0, limit: 9 };

let serial = 0;
const name = (): string => `m${serial++}`;

function running(plan: Parameters<typeof runningRollout>[3] = WATCHED): Rollout {
  const release = name();
  return runningRollout(release, String(serial), STAGE_LIST, plan);
}

/** A rollout whose plan asks for flags, with one child in it. */
async function given(membership = '2/Berlin Mitte', plan?: Parameters<typeof runningRollout>[3]) {
  const rollout = running(plan);
  await s.flags.watch(rollout);
  const id = name();
  await givenEnrolled(s, rollout, id, membership);
  return { rollout, id, p: s.children.partition(id) };
}

const report = (stage: number, status: StageReport['status'], next: number): StageReport => ({
  stage,
  status,
  next,
  digest: 'abcdefabcdef',
  summary: packNumbers([1, 1, 1, 5, 1, 1, 6, 1, 1, 0, 0]),
});
const COMPLETED = 4;
const FAILURE = 5;

const apply = ({ release, shortId }: Rollout, message: Omit<ResultMessage, 'kind' | 'release' | 'shortId'>) =>
  s.children.applyNow({ kind: 'result', release, shortId, ...message });
const send = (rollout: Rollout, id: string, at: number, ...reports: StageReport[]) =>
  apply(rollout, { id, at, attempt: null, reports });
const heartbeat = async (id: string, at: number, by: HeartbeatMessage['by'], rollout?: Rollout) => {
  const { release, shortId } = rollout ?? { release: '', shortId: '' };
  const [noted] = await s.children.heartbeatAll(s.children.partition(id), [{ id, at, by, release, shortId }]);
  return noted;
};
const whereIs = ({ release, shortId }: Rollout, id: string) => ({ p: s.children.partition(id), release, shortId });
const read = async (rollout: Rollout, id: string, withKept: boolean): Promise<ReadRecord> => {
  const [found] = await s.children.readForUpdate(whereIs(rollout, id), [id], withKept);
  if (found === undefined) throw new Error(`${id} was not read`);
  return found;
};
const compareAndSet = async (rollout: Rollout, change: RecordChange) =>
  (await s.children.compareAndSet(whereIs(rollout, change.before.id), [change]))[0];
const recordOf = async ({ shortId }: Rollout, id: string) => {
  const record = await s.children.record(shortId, id);
  if (record === null) throw new Error(`${id} is not enrolled`);
  return record;
};
const flagsOf = async (rollout: Rollout, id: string): Promise<number> => (await recordOf(rollout, id)).flags;
const fieldsOf = async (id: string): Promise<string[]> =>
  (await s.client.hkeys(s.keys.child(s.children.partition(id), id))).sort();

describe('a child that is lost', () => {
  it('was silent since the cutoff, Todo or in a stage in which children call `/end_stage`', async () => {
    const { rollout, id, p } = await given();
    const later = name();
    await givenEnrolled(s, rollout, later, '2/Berlin Mitte', 5_001);
    const both = [id, later].filter((each) => s.children.partition(each) === p);
    expect(await s.flags.flagLost(p, rollout, both, 5_000)).toEqual([id]);
    expect(await s.flags.flagLost(p, rollout, both, 5_000)).toEqual([]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 2, m1: 1 });
    await send(rollout, id, 6_000);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, r2: 1, 's0.1': 1 });
    expect(await s.flags.flagLost(p, rollout, [id], 6_999)).toEqual([id]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, r2: 1, 's0.1': 1, m1: 1 });
  });

  it('is never in an A/B stage, has not ended, and was not ejected', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000, report(0, COMPLETED, 1));
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([]);
    await send(rollout, id, 3_000, report(1, COMPLETED, 2));
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    await send(rollout, id, 4_000, report(2, FAILURE, NO_NEXT));
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([]);
    const out = await given();
    await s.flags.eject(out.rollout, out.id);
    expect(await s.flags.flagLost(out.p, out.rollout, [out.id], 1_000_000)).toEqual([]);
    for (const each of [rollout, out.rollout]) await addsUp(s, each);
  });

  it('is none that runs another release, before it is lost there', async () => {
    const { rollout, id, p } = await given();
    const other = running();
    await s.flags.watch(other);
    await givenEnrolled(s, other, id, 'all');
    await send(other, id, 2_000, report(0, COMPLETED, 1));
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([]);
    await heartbeat(id, 20_000, 'poll', other);
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    await heartbeat(id, 21_000, 'end_stage', other);
    expect(await flagsOf(rollout, id)).toBe(0);
    await send(other, id, 22_000, report(1, COMPLETED, 2));
    await s.flags.flagLost(p, other, [id], 1_000_000);
    expect(await s.flags.flagLost(p, rollout, [id], 1_000_000)).toEqual([id]);
    for (const each of [rollout, other]) await addsUp(s, each);
  });

  it.each([
    ['a download', (rollout: Rollout, id: string) => send(rollout, id, 9_000)],
    ['a result', (rollout: Rollout, id: string) => send(rollout, id, 9_000, report(0, 2, 1))],
    ['a poll', (_: Rollout, id: string) => heartbeat(id, 9_000, 'poll')],
    ['a call of `/end_stage`', (rollout: Rollout, id: string) => heartbeat(id, 9_000, 'end_stage', rollout)],
    ['a heartbeat about another release', (_: Rollout, id: string) => heartbeat(id, 9_000, 'end_stage', running())],
  ])('and Todo comes back with %s', async (_, comeBack) => {
    const { rollout, id, p } = await given();
    await s.flags.flagLost(p, rollout, [id], 5_000);
    await comeBack(rollout, id);
    expect(await flagsOf(rollout, id)).toBe(0);
    expect((await addsUp(s, rollout))['m1']).toBeUndefined();
    expect(await fieldsOf(id)).not.toContain('l');
  });

  it.each(['call of `/end_stage`', 'result'])(
    'and Doing comes back with its next %s, and not by a poll',
    async (how) => {
      const { rollout, id, p } = await given();
      await send(rollout, id, 1_500);
      await s.flags.flagLost(p, rollout, [id], 5_000);
      await heartbeat(id, 8_000, 'poll', rollout);
      expect(await flagsOf(rollout, id)).toBe(FLAG.lost);
      if (how === 'call of `/end_stage`')
        expect(await heartbeat(id, 9_000, 'end_stage', rollout)).toEqual({ changed: [rollout.release] });
      else await send(rollout, id, 9_000, report(0, 2, 1));
      expect(await flagsOf(rollout, id)).toBe(0);
      await addsUp(s, rollout);
    },
  );

  it('is given back in all releases that it was lost in, and each is named', async () => {
    const { rollout, id, p } = await given();
    const other = running();
    await givenEnrolled(s, other, id, 'all');
    for (const each of [rollout, other]) await s.flags.flagLost(p, each, [id], 5_000);
    const noted = await heartbeat(id, 9_000, 'poll');
    expect(noted).toEqual({ changed: [rollout.release, other.release] });
    for (const each of [rollout, other]) expect(await addsUp(s, each)).toEqual({ n: 1, r1: 1 });
    expect(await heartbeat(id, 9_500, 'poll')).toBe(1);
  });

  it('stays lost for an old heartbeat that is applied late', async () => {
    const { rollout, id, p } = await given();
    await heartbeat(id, 4_000, 'poll');
    await s.flags.flagLost(p, rollout, [id], 5_000);
    await heartbeat(id, 3_000, 'poll');
    expect(await flagsOf(rollout, id)).toBe(FLAG.lost);
  });

  it('leaves nothing in its hash when it is back', async () => {
    const { rollout, id, p } = await given();
    const before = await fieldsOf(id);
    await s.flags.flagLost(p, rollout, [id], 5_000);
    await heartbeat(id, 9_000, 'poll');
    expect(await fieldsOf(id)).toEqual(before);
  });
});

describe('a child that polls although it runs the release', () => {
  const LEFT_AT = 12_000;

  it.each(MEMBERSHIPS)(
    'is lost at once, in an A/B stage too, until it calls `/end_stage` again (%j)',
    async (membership) => {
      const { rollout, id } = await given(membership);
      await send(rollout, id, 1_500);
      await send(rollout, id, 2_000, report(0, COMPLETED, 1));
      expect(await heartbeat(id, 2_000 + 9_999, 'poll', rollout)).toBe(1);
      expect(await flagsOf(rollout, id)).toBe(0);
      expect(await heartbeat(id, LEFT_AT, 'poll', rollout)).toEqual({ changed: [rollout.release] });
      expect(await flagsOf(rollout, id)).toBe(FLAG.lost);
      expect((await addsUp(s, rollout))['m1']).toBe(1);
      expect(await heartbeat(id, LEFT_AT + 3_000, 'poll', rollout)).toBe(1);
      expect((await s.children.forPoll(id))?.left).toBe(true);
      expect(await heartbeat(id, LEFT_AT + 4_000, 'end_stage', rollout)).toEqual({ changed: [rollout.release] });
      expect(await flagsOf(rollout, id)).toBe(0);
      expect((await s.children.forPoll(id))?.left).toBe(false);
      await addsUp(s, rollout);
    },
  );

  it('is only shown as having left where the plan counts nobody as lost', async () => {
    const { rollout, id } = await given('all', { lostAfterMs: null });
    await send(rollout, id, 2_000);
    expect(await heartbeat(id, LEFT_AT, 'poll', rollout)).toBe(1);
    expect((await s.children.forPoll(id))?.left).toBe(true);
    expect(await flagsOf(rollout, id)).toBe(0);
  });

  it('has left whatever calls it made before', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000);
    await heartbeat(id, LEFT_AT, 'poll', rollout);
    await heartbeat(id, LEFT_AT - 1, 'end_stage', rollout);
    expect(await flagsOf(rollout, id)).toBe(FLAG.lost);
    expect((await s.children.forPoll(id))?.left).toBe(true);
  });

  it('is not lost where it was ejected', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000);
    await s.flags.eject(rollout, id);
    expect(await heartbeat(id, LEFT_AT, 'poll', rollout)).toBe(1);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('counts as lost also where it had left before that was noted', async () => {
    const { rollout, id, p } = await given('all', { lostAfterMs: null });
    await send(rollout, id, 2_000, report(0, COMPLETED, 1));
    await heartbeat(id, LEFT_AT, 'poll', rollout);
    expect(await s.flags.flagLost(p, rollout, [id], 0)).toEqual([id]);
  });
});

describe('a child that is overdue', () => {
  it('has been InProgress in one stage for so long', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000);
    await send(rollout, id, 2_500);
    expect(await s.flags.longInStage(p, rollout, 1_999, PAGE)).toEqual([]);
    expect(await s.flags.longInStage(p, rollout, 2_000, PAGE)).toEqual([id]);
    expect(await s.flags.flagOverdue(p, rollout, [id], 1_999)).toEqual([]);
    expect(await s.flags.flagOverdue(p, rollout, [id], 2_000)).toEqual([id]);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, r2: 1, 's0.1': 1, m2: 1 });
    expect(await s.flags.longInStage(p, rollout, 9_999, PAGE)).toEqual([]);
    // Saying the same again is no progress.
    await send(rollout, id, 3_000);
    expect(await flagsOf(rollout, id)).toBe(FLAG.overdue);
    await send(rollout, id, 4_000, report(0, COMPLETED, 1));
    expect(await flagsOf(rollout, id)).toBe(0);
    expect(await s.flags.longInStage(p, rollout, 4_000, PAGE)).toEqual([id]);
    await addsUp(s, rollout);
  });

  it('is none that waits, has ended or was ejected', async () => {
    for (const end of [report(0, 2, 1), report(0, FAILURE, NO_NEXT), null]) {
      const { rollout, id, p } = await given();
      await send(rollout, id, 2_000);
      if (end === null) await s.flags.eject(rollout, id);
      else await send(rollout, id, 3_000, end);
      expect(await s.flags.longInStage(p, rollout, 9_999, PAGE)).toEqual([]);
      await s.client.zadd(s.keys.due(p, rollout.release), 2_000, id);
      expect(await s.flags.flagOverdue(p, rollout, [id], 9_999)).toEqual([]);
    }
  });

  it('may be lost as well, and counts once under both', async () => {
    const { rollout, id, p } = await given();
    await send(rollout, id, 2_000);
    await s.flags.flagLost(p, rollout, [id], 5_000);
    await s.flags.flagOverdue(p, rollout, [id], 5_000);
    expect((await addsUp(s, rollout))['m3']).toBe(1);
    await heartbeat(id, 9_000, 'end_stage', rollout);
    expect((await addsUp(s, rollout))['m2']).toBe(1);
  });
});

describe('trying again', () => {
  it('is a new attempt of children that Failed or are lost, and of no others', async () => {
    const rollout = running();
    await s.flags.watch(rollout);
    const [failed, silent, waiting, done, out] = Array.from({ length: 5 }, name) as [
      string,
      string,
      string,
      string,
      string,
    ];
    for (const [i, id] of [failed, silent, waiting, done, out].entries())
      await givenEnrolled(s, rollout, id, MEMBERSHIPS[i % MEMBERSHIPS.length]);
    await send(rollout, failed, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, NO_NEXT));
    await send(rollout, silent, 2_000, report(0, 2, 1));
    await heartbeat(silent, 20_000, 'poll', rollout);
    await send(rollout, waiting, 2_000, report(0, 2, 1));
    await send(rollout, done, 2_000, report(0, COMPLETED, NO_NEXT));
    await send(rollout, out, 2_000, report(0, FAILURE, NO_NEXT));
    await s.flags.eject(rollout, out);
    const again = { ...rollout, epoch: 7 };
    const all = [failed, silent, waiting, done, out, 'nobody', failed];
    expect((await s.flags.retry(again, all)).sort()).toEqual([failed, silent].sort());
    expect(await s.flags.retry(again, all)).toEqual([]);
    for (const id of [failed, silent]) {
      const { attempt, status, stages, flags, epoch } = await recordOf(rollout, id);
      expect({ attempt, status, flags, epoch }).toEqual({ attempt: 2, status: 1, flags: 0, epoch: 7 });
      expect(stages.every((stage) => stage.status === 0 && stage.kept === null)).toBe(true);
      const view = await s.children.forPoll(id);
      expect(view?.offers.map(({ release, epoch: e }) => [release, e])).toEqual([[rollout.release, 7]]);
      expect(view).toMatchObject({ underway: null, left: false });
      expect((await fieldsOf(id)).filter((field) => field.startsWith(`${rollout.shortId}.`))).toEqual([]);
    }
    const old = { id: failed, at: 9_000, attempt: 1, reports: [report(1, FAILURE, NO_NEXT)] };
    expect(await apply(rollout, old)).toEqual({ code: 'stale' });
    expect(await addsUp(s, rollout)).toMatchObject({ n: 5, r1: 2, r2: 1, r3: 1, m4: 1 });
    await send(rollout, failed, 9_000, report(0, COMPLETED, NO_NEXT));
    expect(await addsUp(s, rollout)).toMatchObject({ r3: 2 });
  });

  it('is nothing for a child that was deleted, also right then', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000, report(0, FAILURE, NO_NEXT));
    const before = await read(rollout, id, true);
    if (before.head === null) throw new Error('it is not enrolled');
    expect(await s.children.delete(id, 9_000, [])).toBe('deleted');
    const counts = await addsUp(s, rollout);
    expect(await s.flags.retry(rollout, [id])).toEqual([]);
    const change = { before, after: { ...before.head, attempt: 2 }, offer: 'made' as const };
    expect(await compareAndSet(rollout, change)).toBe(false);
    expect(await addsUp(s, rollout)).toEqual(counts);
    expect(await fieldsOf(id)).not.toContain('p');
  });

  it('keeps what else a child is offered', async () => {
    const { rollout, id } = await given();
    const key = s.keys.child(s.children.partition(id), id);
    await send(rollout, id, 2_000, report(0, FAILURE, NO_NEXT));
    await s.client.hset(key, 'p', 'other:3:4');
    await s.flags.retry(rollout, [id]);
    expect((await s.children.forPoll(id))?.offers).toEqual([
      { release: 'other', epoch: 3, n: 4 },
      { release: rollout.release, epoch: 1, n: 2 },
    ]);
  });

  it.each([null, 'Berlin Mitte', 'elsewhere'])(
    'finds all of them, of one location or of all (%s)',
    async (location) => {
      const rollout = running();
      await s.flags.watch(rollout);
      const ids = Array.from({ length: 1_500 }, (_, i) => `${rollout.release}-${i}`);
      await Promise.all(ids.map((id, i) => givenEnrolled(s, rollout, id, MEMBERSHIPS[i % MEMBERSHIPS.length])));
      const [failed, silent] = [ids.filter((_, i) => i % 10 === 3), ids.filter((_, i) => i % 10 === 6)];
      await Promise.all(failed.map((id) => send(rollout, id, 9_000, report(0, FAILURE, NO_NEXT))));
      for (let p = 0; p < s.partitions; p++)
        await s.flags.flagLost(
          p,
          rollout,
          silent.filter((id) => s.children.partition(id) === p),
          5_000,
        );
      const found = new Set<string>();
      for (let p = 0; p < s.partitions; p++)
        for (let cursor: string | null = null; ;) {
          const page: Awaited<ReturnType<typeof s.flags.failedOrLost>> = await s.flags.failedOrLost(
            p,
            rollout,
            location,
            cursor,
          );
          for (const id of page.ids) found.add(id);
          await s.flags.retry(rollout, page.ids);
          if (page.next === null) break;
          cursor = page.next;
        }
      const isThere = (id: string): boolean =>
        location === null || (ids.indexOf(id) % 4 > 1 && location !== 'elsewhere');
      expect([...found].sort()).toEqual([...failed, ...silent].filter(isThere).sort());
      expect((await addsUp(s, rollout))['n']).toBe(1_500);
    },
  );

  it('reads no child where there is none to be found', async () => {
    const { rollout, p } = await given();
    expect(await s.flags.failedOrLost(p, rollout, null, null)).toEqual({ ids: [], next: null });
  });
});

describe('ejecting a child', () => {
  it.each(MEMBERSHIPS)('counts it no more, whatever it does, and offers it nothing (%j)', async (membership) => {
    const { rollout, id } = await given(membership);
    await givenEnrolled(s, rollout, name(), membership);
    expect(await s.flags.eject(rollout, id)).toBe('ejected');
    expect(await s.flags.eject(rollout, id)).toBe('ejected');
    expect((await s.children.forPoll(id))?.offers).toEqual([]);
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, m4: 1 });
    await send(rollout, id, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, NO_NEXT));
    expect(await addsUp(s, rollout)).toEqual({ n: 2, r1: 1, m4: 1 });
    expect((await recordOf(rollout, id)).status).toBe(4);
  });

  it('takes its failure back, but not what it is Done with', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000, report(0, COMPLETED, 1), report(1, FAILURE, NO_NEXT));
    expect(await s.flags.eject(rollout, id)).toBe('ejected');
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
    const done = await given();
    await send(done.rollout, done.id, 2_000, report(0, COMPLETED, NO_NEXT));
    expect(await s.flags.eject(done.rollout, done.id)).toBe('done');
  });

  it('ejects one that is still to be enrolled: its turn never comes', async () => {
    const rollout = running({ ...WATCHED, locations: { by: 'child' } });
    const id = name();
    const p = s.children.partition(id);
    expect(await s.flags.eject(rollout, id)).toBe('unknown');
    await s.join({ id, at: 1_000, area: 'A', digest: 'd', childCount: 0 });
    await s.client.zadd(s.keys.order(p, rollout.release), 1_000, id);
    expect(await s.flags.eject(rollout, id)).toBe('ejected');
    expect(await s.client.zscore(s.keys.order(p, rollout.release), id)).toBeNull();
    expect(await recordOf(rollout, id)).toMatchObject({
      status: 1,
      flags: FLAG.ejected,
      token: '',
      membership: { id, n: 0, late: false },
    });
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
    expect((await s.children.forPoll(id))?.offers).toEqual([]);
  });

  it('adds no child to a partition whose enrolment is complete: gates open on the number that was noted', async () => {
    const rollout = running();
    const [before, after] = [name(), name()];
    for (const id of [before, after]) await s.join({ id, at: 1_000, area: 'A', digest: 'd', childCount: 0 });
    expect(await s.flags.eject(rollout, before)).toBe('ejected');
    expect((await recordOf(rollout, before)).token).toBe('all');
    for (let p = 0; p < s.partitions; p++) await s.client.hset(s.keys.agg(p, rollout.release), AGG.enrolled, 1);
    expect(await s.flags.eject(rollout, after)).toBe('unenrolled');
    expect(await s.children.record(rollout.shortId, after)).toBeNull();
    // Also where enrolment is completed between the read and the write.
    const found = await read(rollout, after, true);
    const { head } = await read(rollout, before, true);
    if (head === null) throw new Error('it is not enrolled');
    const change = { before: found, after: head, whileEnrolling: true };
    expect(await compareAndSet(rollout, change)).toBe(false);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });
});

describe('promoting a child', () => {
  it('is for a child that is in it, and for a WaitForSignal stage', async () => {
    const { rollout, id } = await given();
    expect(await s.flags.promote(rollout, id, 0)).toBe(false);
    await send(rollout, id, 2_000);
    expect(await s.flags.promote(rollout, id, 2)).toBe(false);
    const before = await addsUp(s, rollout);
    expect(await s.flags.promote(rollout, id, 0)).toBe(true);
    expect(await s.flags.promote(rollout, id, 0)).toBe(true);
    expect((await recordOf(rollout, id)).promotedUpTo).toBe(1);
    expect(await addsUp(s, rollout)).toEqual(before);
    await send(rollout, id, 3_000, report(0, COMPLETED, 1));
    expect(await s.flags.promote(rollout, id, 1)).toBe(false);
    expect(await s.flags.promote(rollout, id, 0)).toBe(false);
    await send(rollout, id, 4_000, report(1, COMPLETED, 2));
    expect(await s.flags.promote(rollout, id, 2)).toBe(true);
    expect((await recordOf(rollout, id)).promotedUpTo).toBe(3);
    expect(await s.flags.promote(rollout, 'nobody', 0)).toBe(false);
    await s.flags.eject(rollout, id);
    expect(await s.flags.promote(rollout, id, 2)).toBe(false);
  });
});

describe('a change of a record', () => {
  it('is of what was read, or of nothing', async () => {
    const { rollout, id } = await given();
    await send(rollout, id, 2_000, report(0, 2, 1));
    const before = await read(rollout, id, true);
    if (before.head === null) throw new Error('it is not enrolled');
    const change = { before, after: { ...before.head, flags: FLAG.ejected } };
    // The head stays as it is: only the kept report is another one.
    await send(rollout, id, 2_000, {
      ...report(0, 2, 1),
      digest: 'ffffffffffff',
      summary: packNumbers(Array(11).fill(3)),
    });
    const counts = await addsUp(s, rollout);
    expect((await read(rollout, id, true)).head).toEqual(before.head);
    expect(await compareAndSet(rollout, change)).toBe(false);
    expect(await addsUp(s, rollout)).toEqual(counts);
    await s.flags.eject(rollout, id);
    expect(await compareAndSet(rollout, change)).toBe(false);
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('is not made where a heartbeat came in between', async () => {
    const { rollout, id } = await given();
    const before = await read(rollout, id, false);
    if (before.head === null) throw new Error('it is not enrolled');
    const change = { before, after: { ...before.head, flags: FLAG.lost }, seenBefore: 5_000 };
    await heartbeat(id, 5_001, 'poll');
    expect(await compareAndSet(rollout, change)).toBe(false);
    expect(await flagsOf(rollout, id)).toBe(0);
  });

  it('is judged again where a message slipped in between', async () => {
    const { rollout, id, p } = await given();
    const slips: (() => Promise<unknown>)[] = [];
    const flags = createFlagStore(s.client, s.keys, {
      ...s.children,
      async compareAndSet(...args) {
        await slips.shift()?.();
        return s.children.compareAndSet(...args);
      },
    });
    // It comes back right then; it is to be ejected then; it has failed for good by then.
    slips.push(() => heartbeat(id, 5_001, 'poll'));
    expect(await flags.flagLost(p, rollout, [id], 5_000)).toEqual([]);
    slips.push(() => send(rollout, id, 6_000));
    expect(await flags.promote(rollout, id, 0)).toBe(false);
    slips.push(() => send(rollout, id, 7_000, report(0, 2, 1)));
    expect(await flags.promote(rollout, id, 0)).toBe(true);
    expect(await recordOf(rollout, id)).toMatchObject({ promotedUpTo: 1, stages: [{ status: 2 }, {}, {}] });
    slips.push(() => send(rollout, id, 8_000, report(0, FAILURE, NO_NEXT)));
    expect(await flags.eject(rollout, id)).toBe('ejected');
    expect(await recordOf(rollout, id)).toMatchObject({ status: 4, flags: FLAG.ejected });
    expect(await addsUp(s, rollout)).toEqual({ n: 1, m4: 1 });
  });

  it('is told to whoever has parked a request of the child', async () => {
    const told: string[] = [];
    const listener = await s.connect();
    listener.on('message', (_channel: string, ids: string) => told.push(ids));
    await listener.subscribe(s.keys.childChanged);
    const { rollout, id, p } = await given();
    await s.flags.flagLost(p, rollout, [id], 5_000);
    await s.flags.retry(rollout, [id]);
    await s.flags.retry(rollout, [id]);
    await s.flags.eject(rollout, id);
    await listener.ping();
    expect(told).toEqual([id, id, id]);
  });

  it('keeps all counts true, whoever races whom (law 3)', async () => {
    const act = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('report' as const), report: namedReport }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom('download', 'lost', 'overdue', 'retry', 'eject', 'promote', 'poll', 'end_stage'),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(4), act), { minLength: 5, maxLength: 40 }),
        fc.array(fc.constantFrom(...MEMBERSHIPS), { minLength: 5, maxLength: 5 }),
        async (acts, memberships) => {
          const rollout = running();
          await s.flags.watch(rollout);
          const ids = Array.from({ length: 5 }, name);
          for (const [i, id] of ids.entries()) await givenEnrolled(s, rollout, id, memberships[i]);
          let at = 1_700_000_000_000;
          await Promise.all(
            acts.map(([child, what]): Promise<unknown> => {
              const id = ids[child] ?? '';
              const p = s.children.partition(id);
              at += 7_000;
              if ('report' in what) return send(rollout, id, at, what.report);
              if (what.do === 'download') return send(rollout, id, at);
              if (what.do === 'lost')
                return s.flags.flagLost(
                  p,
                  rollout,
                  ids.filter((each) => s.children.partition(each) === p),
                  at,
                );
              if (what.do === 'overdue') return s.flags.flagOverdue(p, rollout, [id], at);
              if (what.do === 'retry') return s.flags.retry(rollout, ids);
              if (what.do === 'eject') return s.flags.eject(rollout, id);
              if (what.do === 'promote') return s.flags.promote(rollout, id, child % STAGES);
              return heartbeat(
                id,
                at,
                what.do === 'poll' ? 'poll' : 'end_stage',
                child % 2 === 0 ? rollout : undefined,
              );
            }),
          );
          await addsUp(s, rollout);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('what flags are made from', () => {
  it('is noted only where a plan asks for it, in each partition', async () => {
    for (const [plan, fields] of [
      [{}, []],
      [{ lostAfterMs: 1 }, [AGG.watchLost]],
      [{ deadline: WATCHED.deadline }, [AGG.watchOverdue]],
    ] as const) {
      const rollout = running(plan);
      await s.flags.watch(rollout);
      for (let p = 0; p < s.partitions; p++)
        expect(await s.client.hkeys(s.keys.agg(p, rollout.release))).toEqual(fields);
    }
    const { rollout, id, p } = await given('all', {});
    await send(rollout, id, 2_000);
    expect(await s.client.exists(s.keys.due(p, rollout.release))).toBe(0);
    expect(await fieldsOf(id)).toEqual([rollout.shortId, 'a', 'd', 'f', 's', 'u'].sort());
  });
});
