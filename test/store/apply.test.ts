/** lua/apply.lua, against a real Redis: the same join as the domain's, counted right, whoever races whom. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PRESETS } from '#domain/plan.ts';
import {
  applyReport,
  applyReports,
  foldContributions,
  progressRank,
  releaseStatusOf,
  type Report,
} from '#domain/record.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout.ts';
import { packNumbers } from '#domain/summary.ts';
import type { ReleaseRef } from '#store/child-store.ts';
import { fresh, namedReport, namedReports, shuffledWithRepeats, STAGES } from '#test/harness/arbitraries.ts';
import { openStores } from '#test/harness/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
afterAll(() => stack.disposeAsync());

let serial = 0;
const stages = Array.from({ length: STAGES }, (_, i) => ({ name: `s${i}`, type: 'WaitForSignal' as const }));

/** A release of its own with so many children enrolled in it. */
async function enrolled(children: number): Promise<{ rollout: Rollout; ids: string[] }> {
  const n = serial++;
  const ids = Array.from({ length: children }, (_, i) => `c${n}-${i}`);
  const plan = PRESETS['global-incremental'];
  const rollout = startRollout(publishedRollout(`r${n}`, String(n + 1), stages, plan), plan, 1_000, 0);
  for (const id of ids) {
    await s.join({ id, at: 1_000, area: 'A', digest: 'd', childCount: 0 });
    await s.enrolment.enrolChild(s.children.partition(id), rollout, id);
  }
  return { rollout, ids };
}

const send = (ref: ReleaseRef, id: string, reports: readonly Report[]) =>
  s.children.apply(ref, { id, at: reports[0]?.at ?? '', attempt: 1, reports });

const recordOf = ({ tag }: ReleaseRef, id: string) => s.children.record(tag, id);

async function totals(release: string): Promise<Record<string, number>> {
  const all: Record<string, number> = {};
  for (let p = 0; p < s.partitions; p++)
    for (const [field, value] of Object.entries(await s.client.hgetall(s.keys.agg(p, release))))
      if (!field.startsWith('@')) all[field] = (all[field] ?? 0) + Number(value);
  return all;
}

const course = fc.array(namedReport, { minLength: 0, maxLength: 6 });
/** Reports of one request, all accepted at once; some name no stage, and some say just what another one says. */
const request = fc
  .tuple(fc.array(fc.tuple(namedReport, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 }), fc.nat())
  .map(([all, copied]): Report[] => {
    const [model] = all[copied % all.length] ?? [];
    return all.map(([named, hide, same]) => {
      const said = same && model !== undefined ? { ...model, at: named.at } : named;
      return { ...said, at: all[0]?.[0].at ?? said.at, stage: hide ? null : said.stage };
    });
  });

describe('applying results', () => {
  it('does what the domain does, message by message', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 5 }), async (messages) => {
        const {
          rollout,
          ids: [id = ''],
        } = await enrolled(1);
        let model = fresh();
        for (const reports of messages) {
          await send(rollout, id, reports);
          model = applyReports(model, reports);
          const stored = await recordOf(rollout, id);
          expect(stored?.stages).toEqual(model.stages);
          expect(stored?.status).toBe(releaseStatusOf(model));
          const rank = await s.client.zscore(s.keys.index(s.children.partition(id), rollout.release), id);
          expect(Number(rank)).toBe(progressRank(model));
        }
        expect(await totals(rollout.release)).toEqual(Object.fromEntries(foldContributions([model])));
      }),
      { numRuns: 150 },
    );
  });

  it('applies many messages in one call as one by one, each whole or not at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(course, { minLength: 2, maxLength: 8 }), async (fleet) => {
        const [together, alone] = [await enrolled(fleet.length), await enrolled(fleet.length)];
        for (let p = 0; p < s.partitions; p++) {
          const messages = fleet.flatMap((reports, i) => {
            const id = together.ids[i] ?? '';
            if (s.children.partition(id) !== p) return [];
            return reports.map((report) => ({ id, at: report.at, attempt: 1, reports: [report] }));
          });
          const codes = (await s.children.applyAll(p, together.rollout, messages)).map(({ code }) => code);
          expect(codes).toEqual(messages.map(() => 'ok'));
        }
        for (const [i, reports] of fleet.entries())
          for (const report of reports) await send(alone.rollout, alone.ids[i] ?? '', [report]);
        expect(await totals(together.rollout.release)).toEqual(await totals(alone.rollout.release));
        for (const [i, id] of together.ids.entries())
          expect((await recordOf(together.rollout, id))?.stages).toEqual(
            (await recordOf(alone.rollout, alone.ids[i] ?? ''))?.stages,
          );
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
    const messages = here.map((id) => ({ id, at: 2_000, attempt: 1, reports: [completed(0, 1)] }));
    const applied = await s.children.applyAll(p, rollout, messages);
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
          const { rollout, ids } = await enrolled(fleet.length);
          await Promise.all(
            fleet.flatMap(([, shuffled], i) => shuffled.map((report) => send(rollout, ids[i] ?? '', [report]))),
          );
          const models = fleet.map(([reports]) => reports.reduce(applyReport, fresh()));
          const stored = await Promise.all(ids.map((id) => recordOf(rollout, id)));
          stored.forEach((record, i) => expect(record?.stages).toEqual(models[i]?.stages));
          expect(await totals(rollout.release)).toEqual(Object.fromEntries(foldContributions(models)));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('keeps the aggregate equal to a recount over all records', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(course, { minLength: 2, maxLength: 6 }), async (fleet) => {
        const { rollout, ids } = await enrolled(fleet.length);
        for (const [i, reports] of fleet.entries())
          for (const report of reports) await send(rollout, ids[i] ?? '', [report]);
        const records = await Promise.all(ids.map((id) => recordOf(rollout, id)));
        const recount = foldContributions(records.filter((record) => record !== null));
        expect(await totals(rollout.release)).toEqual(Object.fromEntries(recount));
      }),
      { numRuns: 50 },
    );
  });
});

const completed = (stage: number | null, next: number | null, at = 2_000): Report => ({
  stage,
  status: 4,
  next,
  at,
  digest: `a${next ?? 'f'}`.padEnd(12, '0'),
  summary: packNumbers([1, 1, 1, 1, 1, 1, 1.3, 1, 1, 0, 0]),
});

describe('a download', () => {
  it('is counted once, however many race (law 5)', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    expect((await s.children.forPoll(id))?.offers).toEqual([{ release: rollout.release, epoch: 1 }]);
    const all = await Promise.all(Array.from({ length: 20 }, () => s.children.download(id, rollout)));
    expect(all.filter((applied) => applied.code === 'ok' && applied.changed)).toHaveLength(1);
    expect(await totals(rollout.release)).toEqual({ n: 1, r2: 1, 's0.1': 1 });
    const view = await s.children.forPoll(id);
    expect(view?.offers).toEqual([]);
    expect(view?.underway).toEqual({ release: rollout.release, tag: rollout.tag });
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
    await send(rollout, one, [completed(null, 1)]);
    await send(rollout, one, [completed(null, 2)]);
    await send(rollout, two, [completed(null, 1), completed(null, 2), completed(null, null)]);
    expect((await recordOf(rollout, one))?.stages.map((x) => x.status)).toEqual([4, 4, 1]);
    expect((await recordOf(rollout, two))?.stages.map((x) => x.status)).toEqual([4, 4, 4]);
    expect((await s.children.forPoll(two))?.underway).toBeNull();
  });

  it('bind one after another though they say the same, and to the same stages when the request comes again', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    const said: Omit<Report, 'next'> = completed(null, 1);
    const same = [
      { ...said, next: 'following' as const },
      { ...said, next: 'following' as const },
      { ...said, next: null },
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
    await Promise.all([send(rollout, id, [completed(null, 1)]), send(rollout, id, [completed(null, 1)])]);
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
    expect(await send({ release: 'nothing', tag: '9999' }, id, [completed(0, 1)])).toEqual({ code: 'absent' });
    const stale = await s.children.apply(rollout, { id, at: 5, attempt: 7, reports: [completed(0, 1)] });
    expect(stale).toEqual({ code: 'stale' });
    expect(await s.children.delete(id, 9_000, [rollout.release])).toBe('deleted');
    expect(await send(rollout, id, [completed(0, 1)])).toEqual({ code: 'gone' });
    expect(await totals(rollout.release)).toEqual(before);
  });
});
