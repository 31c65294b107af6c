/** lua/children/apply-results.lua, against a real Redis: the same join as the domain's, counted right, whoever races whom. */
import type { ReleaseRef, ResultMessage } from '#domain/child/messages.ts';
import { type AcceptedReport, CURRENT_STAGE, FOLLOWING, NO_NEXT } from '#domain/child/report.ts';
import { foldContributions } from '#domain/counts/contribution.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FLAG, FLAG_SUMS, hasFlag } from '#domain/child/flags.ts';
import {
  applyDownload,
  applyReport,
  applyReports,
  type ChildRecord,
  currentStage,
  enrolledRecord,
  releaseStatusOf,
} from '#domain/child/record.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { StageStatus } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { fresh, namedReport, namedReports, shuffledWithRepeats, STAGES } from '#test/harness/plans/arbitraries.ts';
import { addsUp, fieldsOf, givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { isCount } from '#store/layout/agg-fields.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());

let serial = 0;
const stages = Array.from({ length: STAGES }, (_, i) => ({ name: `s${i}`, type: 'WaitForSignal' as const }));

/** A release of its own with so many children enrolled in it. */
async function enrolled(children: number, memberships: readonly string[] = ['all']) {
  const n = serial++;
  const ids = Array.from({ length: children }, (_, i) => `c${n}-${i}`);
  const rollout = runningRollout(`r${n}`, String(n + 1), stages, { deadline: { afterMs: 1, then: 'fail' } });
  for (const [i, id] of ids.entries())
    await givenEnrolled(s, rollout, id, memberships[i % memberships.length] ?? 'all');
  return { rollout, ids };
}

const apply = ({ release, shortId }: ReleaseRef, message: Omit<ResultMessage, 'kind' | keyof ReleaseRef>) =>
  s.children.applyNow({ kind: 'result', release, shortId, ...message });

const send = (ref: ReleaseRef, id: string, reports: readonly AcceptedReport[]) =>
  apply(ref, { id, at: reports[0]?.at ?? null, attempt: 1, reports });

const resultOf = ({ release, shortId }: ReleaseRef, id: string, report: AcceptedReport): ResultMessage => ({
  kind: 'result',
  id,
  release,
  shortId,
  at: report.at,
  attempt: 1,
  reports: [report],
});

const recordOf = ({ shortId }: ReleaseRef, id: string) => s.children.record(shortId, id);

const dueOf = ({ release }: Rollout, id: string) => s.client.zscore(s.keys.due(s.children.partition(id), release), id);

async function totals(release: string): Promise<Record<string, number>> {
  const all: Record<string, number> = {};
  for (let p = 0; p < s.partitions; p++)
    for (const [field, value] of Object.entries(await s.client.hgetall(s.keys.agg(p, release))))
      if (isCount(field)) all[field] = (all[field] ?? 0) + Number(value);
  return all;
}

const course = fc.array(namedReport, { minLength: 0, maxLength: 6 });
/** Reports of one request, all accepted at once; some name no stage, and some say just what another one says. */
const request = fc
  .tuple(fc.array(fc.tuple(namedReport, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 }), fc.nat())
  .map(([all, copied]): AcceptedReport[] => {
    const [model] = all[copied % all.length] ?? [];
    return all.map(([named, hide, same]) => {
      const said = same && model !== undefined ? { ...model, at: named.at } : named;
      return { ...said, at: all[0]?.[0].at ?? said.at, stage: hide ? CURRENT_STAGE : said.stage };
    });
  });

const MEMBERSHIPS = ['all', '', '1/a', '+1/a', '12/Île: la “2/b” +3/c', '12/Île: la “2/b” +3/c'];

const memberships = fc.array(fc.constantFrom(...MEMBERSHIPS), { minLength: 4, maxLength: 4 });

/** What may become of a child: it sends something, or the manager changes its record. */
type Step = { child: number } & (
  | { does: 'reports'; reports: AcceptedReport[] }
  | { does: 'downloads'; at: number }
  | { does: 'is flagged'; flags: number; promotedUpTo: number }
  | { does: 'is tried again' }
);
const step: fc.Arbitrary<Step> = fc
  .tuple(
    fc.nat(3),
    fc.oneof(
      { weight: 6, arbitrary: request.map((reports) => ({ does: 'reports' as const, reports })) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 9 }).map((at) => ({ does: 'downloads' as const, at })) },
      {
        weight: 3,
        arbitrary: fc.record({
          does: fc.constant('is flagged' as const),
          flags: fc.nat(FLAG_SUMS - 1),
          promotedUpTo: fc.nat(STAGES),
        }),
      },
      { weight: 1, arbitrary: fc.constant({ does: 'is tried again' as const }) },
    ),
  )
  .map(([child, what]) => ({ child, ...what }));

/** The stage that a child which was not ejected is InProgress in, or -1. */
function timedStage(record: ChildRecord): number {
  const current = currentStage(record);
  return record.stages[current]?.status === StageStatus.InProgress && record.flags < FLAG.ejected ? current : -1;
}

async function take(rollout: Rollout, id: string, model: ChildRecord, what: Step): Promise<ChildRecord> {
  const { attempt } = model;
  if (what.does === 'reports') {
    const { reports } = what;
    await apply(rollout, { id, at: reports[0]?.at ?? null, attempt, reports });
    return applyReports(model, reports);
  }
  if (what.does === 'downloads') {
    await apply(rollout, { id, at: what.at, attempt, reports: [] });
    return applyDownload(model);
  }
  const { release, shortId } = rollout;
  const where = { p: s.children.partition(id), release, shortId };
  const [before] = await s.children.readForUpdate(where, [id], true);
  if (before?.head == null) throw new Error('it is not enrolled');
  const { head } = before;
  const isFlagged = what.does === 'is flagged';
  const zeros = '0'.repeat(STAGES);
  const reset = { status: 1, statuses: zeros, finals: zeros, flags: 0, promotedUpTo: 0 } as const;
  const after = isFlagged
    ? { ...head, flags: what.flags, promotedUpTo: what.promotedUpTo }
    : { ...head, ...reset, attempt: attempt + 1 };
  expect(await s.children.compareAndSet(where, [{ before, after }])).toEqual([true]);
  return isFlagged
    ? { ...model, flags: what.flags, promotedUpTo: what.promotedUpTo }
    : enrolledRecord(STAGES, attempt + 1);
}

describe('applying results', () => {
  it('does what the domain does, message by message, whatever flags and memberships the children have', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 10 }),
        memberships,
        fc.boolean(),
        async (steps, where, isTimed) => {
          const { rollout, ids } = await enrolled(4, where);
          if (isTimed) await s.flags.watch(rollout);
          const models = ids.map(() => fresh());
          const due = new Map<string, number>();
          for (const { child, ...what } of steps) {
            const id = ids[child] ?? '';
            const before = models[child] ?? fresh();
            const model = await take(rollout, id, before, { child, ...what });
            models[child] = model;
            const stage = timedStage(model);
            const at = what.does === 'reports' ? what.reports[0]?.at : what.does === 'downloads' ? what.at : undefined;
            if (stage < 0 || (at === undefined && hasFlag(model.flags, FLAG.overdue))) due.delete(id);
            else if (at !== undefined && stage !== timedStage({ ...before, flags: 0 })) due.set(id, at);
            const stored = await recordOf(rollout, id);
            if (stored === null) throw new Error('it is not enrolled');
            const { attempt, downloaded, flags, promotedUpTo, status, token } = stored;
            expect({ attempt, downloaded, stages: stored.stages, flags, promotedUpTo }).toEqual(model);
            expect({ status, token }).toEqual({ status: releaseStatusOf(model), token: where[child] });
            const inDue = await s.client.zscore(s.keys.due(s.children.partition(id), rollout.release), id);
            expect(inDue).toBe(isTimed && due.has(id) ? String(due.get(id)) : null);
          }
          expect(await addsUp(s, rollout)).toEqual(fieldsOf(foldContributions(models)));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('applies many messages in one call as one by one, each whole or not at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(course, { minLength: 2, maxLength: 8 }), async (fleet) => {
        const [together, alone] = [
          await enrolled(fleet.length, MEMBERSHIPS),
          await enrolled(fleet.length, MEMBERSHIPS),
        ];
        for (const { rollout } of [together, alone]) await s.flags.watch(rollout);
        for (let p = 0; p < s.partitions; p++) {
          const messages = fleet.flatMap((reports, i) => {
            const id = together.ids[i] ?? '';
            if (s.children.partition(id) !== p) return [];
            return reports.map((report) => resultOf(together.rollout, id, report));
          });
          const codes = (await s.children.applyAll(p, messages)).map(({ code }) => code);
          expect(codes).toEqual(messages.map(() => 'ok'));
        }
        for (const [i, reports] of fleet.entries())
          for (const report of reports) await send(alone.rollout, alone.ids[i] ?? '', [report]);
        expect(await addsUp(s, together.rollout)).toEqual(await addsUp(s, alone.rollout));
        for (const [i, id] of together.ids.entries()) {
          expect(await dueOf(together.rollout, id)).toBe(await dueOf(alone.rollout, alone.ids[i] ?? ''));
          expect((await recordOf(together.rollout, id))?.stages).toEqual(
            (await recordOf(alone.rollout, alone.ids[i] ?? ''))?.stages,
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  it('leaves the others of a call whole when one message is refused', async () => {
    const { rollout, ids } = await enrolled(6);
    const p = s.children.partition(ids[0] ?? '');
    const here = ids.filter((id) => s.children.partition(id) === p);
    const [broken = '', ...fine] = here;
    await s.client.del(s.keys.child(p, broken));
    await s.client.set(s.keys.child(p, broken), 'no hash');
    const messages = here.map((id) => resultOf(rollout, id, completed(0, 1)));
    const applied = await s.children.applyAll(p, messages);
    expect(applied.map(({ code }) => code)).toEqual(['refused', ...fine.map(() => 'ok')]);
    for (const id of fine) expect((await recordOf(rollout, id))?.stages[0]?.status).toBe(4);
    expect((await totals(rollout.release))['s0.4'] ?? 0).toBe(fine.length);
  });

  it('commutes: any order, any number of times, any split into messages, from several clients (law 2, law 3)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          namedReports.chain((reports) => fc.tuple(fc.constant(reports), shuffledWithRepeats(reports))),
          { minLength: 1, maxLength: 4 },
        ),
        async (fleet) => {
          const { rollout, ids } = await enrolled(fleet.length, MEMBERSHIPS);
          await Promise.all(
            fleet.flatMap(([, shuffled], i) => shuffled.map((report) => send(rollout, ids[i] ?? '', [report]))),
          );
          const models = fleet.map(([reports]) => reports.reduce(applyReport, fresh()));
          const stored = await Promise.all(ids.map((id) => recordOf(rollout, id)));
          stored.forEach((record, i) => expect(record?.stages).toEqual(models[i]?.stages));
          expect(await addsUp(s, rollout)).toEqual(fieldsOf(foldContributions(models)));
        },
      ),
      { numRuns: 100 },
    );
  });
});

const completed = (stage: number, next: number, at = 2_000): AcceptedReport => ({
  stage,
  status: 4,
  next,
  at,
  digest: `a${next === NO_NEXT ? 'f' : next}`.padEnd(12, '0'),
  summary: packNumbers([1, 1, 1, 1, 1, 1, 1.3, 1, 1, 0, 0]),
});

describe('a download', () => {
  it('is counted once, however many race (law 5)', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    expect((await s.children.forPoll(id))?.offers).toEqual([{ release: rollout.release, epoch: 1, n: 0 }]);
    const all = await Promise.all(Array.from({ length: 20 }, () => s.children.download(id, rollout)));
    expect(all.filter((applied) => applied.code === 'ok' && applied.changed)).toHaveLength(1);
    expect(await totals(rollout.release)).toEqual({ n: 1, r2: 1, 's0.1': 1 });
    const view = await s.children.forPoll(id);
    expect(view?.offers).toEqual([]);
    expect(view?.underway).toEqual({ release: rollout.release, shortId: rollout.shortId });
  });

  it('restarts nothing when it comes again later', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    await send(rollout, id, [completed(0, 1)]);
    const before = await totals(rollout.release);
    await s.children.download(id, rollout);
    expect(await totals(rollout.release)).toEqual(before);
  });

  it('is no way in for a child that is not enrolled', async () => {
    const { rollout } = await enrolled(1);
    await s.join({ id: 'stranger', at: 1, area: 'A', digest: 'd', childCount: 0 });
    expect(await s.children.download('stranger', rollout)).toEqual({ code: 'absent' });
    expect(await recordOf(rollout, 'stranger')).toBeNull();
  });
});

describe('results that name no stage', () => {
  it('bind to consecutive stages, also in one message', async () => {
    const {
      rollout,
      ids: [one = '', two = ''],
    } = await enrolled(2);
    await send(rollout, one, [completed(CURRENT_STAGE, 1)]);
    await send(rollout, one, [completed(CURRENT_STAGE, 2)]);
    await send(rollout, two, [
      completed(CURRENT_STAGE, 1),
      completed(CURRENT_STAGE, 2),
      completed(CURRENT_STAGE, NO_NEXT),
    ]);
    expect((await recordOf(rollout, one))?.stages.map((x) => x.status)).toEqual([4, 4, 1]);
    expect((await recordOf(rollout, two))?.stages.map((x) => x.status)).toEqual([4, 4, 4]);
    expect((await s.children.forPoll(two))?.underway).toBeNull();
  });

  it('bind one after another though they say the same, and to the same stages when the request comes again', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    const said: Omit<AcceptedReport, 'next'> = completed(CURRENT_STAGE, 1);
    const same = [
      { ...said, next: FOLLOWING },
      { ...said, next: FOLLOWING },
      { ...said, next: NO_NEXT },
    ];
    for (let times = 0; times < 2; times++) {
      await send(
        rollout,
        id,
        same.map((report) => ({ ...report, at: 2_000 + times })),
      );
      expect((await recordOf(rollout, id))?.stages.map((x) => x.status)).toEqual([4, 4, 4]);
      expect((await recordOf(rollout, id))?.status).toBe(3);
    }
  });

  it('bind to one stage when the same one is sent twice at the same moment', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    await Promise.all([
      send(rollout, id, [completed(CURRENT_STAGE, 1)]),
      send(rollout, id, [completed(CURRENT_STAGE, 1)]),
    ]);
    expect((await recordOf(rollout, id))?.stages.map((x) => x.status)).toEqual([4, 1, 0]);
  });
});

describe('what can not be applied', () => {
  it('changes nothing for a deleted child, one that is not enrolled, or an earlier attempt', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    const before = await totals(rollout.release);
    expect(await send({ release: 'nothing', shortId: '9999' }, id, [completed(0, 1)])).toEqual({ code: 'absent' });
    const stale = await apply(rollout, { id, at: 5, attempt: 7, reports: [completed(0, 1)] });
    expect(stale).toEqual({ code: 'stale' });
    expect(await s.children.delete(id, 9_000, [rollout.release])).toBe('deleted');
    expect(await send(rollout, id, [completed(0, 1)])).toEqual({ code: 'gone' });
    expect(await totals(rollout.release)).toEqual(before);
  });
});
