/** lua/apply.lua, against a real Redis: the same join as the domain's, counted right, whoever races whom. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PRESETS } from '#domain/plan.ts';
import { applyReport, foldContributions, progressRank, releaseStatusOf, type Report } from '#domain/record.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout.ts';
import { parseApplied } from '#store/child-store.ts';
import { parseRecord } from '#store/record-codec.ts';
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
  const rollout = startRollout(publishedRollout(`r${n}`, stages, plan), plan, 1_000, 0);
  for (const id of ids) {
    await s.children.join({ id, at: 1_000, area: '[]', areaDigest: 'd', childCount: 0 });
    await s.enrolment.enrolChild(s.children.partition(id), rollout, id);
  }
  return { rollout, ids };
}

const send = async (release: string, id: string, reports: readonly Report[]) =>
  parseApplied(await s.children.apply({ id, release, at: reports[0]?.at ?? '', attempt: 1, reports }));

const recordOf = async (release: string, id: string) =>
  parseRecord(await s.client.hgetall(s.keys.record(s.children.partition(id), release, id)));

async function totals(release: string): Promise<Record<string, number>> {
  const all: Record<string, number> = {};
  for (let p = 0; p < s.partitions; p++)
    for (const [field, value] of Object.entries(await s.client.hgetall(s.keys.agg(p, release))))
      if (!field.startsWith('@')) all[field] = (all[field] ?? 0) + Number(value);
  return all;
}

const course = fc.array(namedReport, { minLength: 0, maxLength: 6 });
const unnamed = fc.boolean();

describe('applying results', () => {
  it('does what the domain does, message by message', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(namedReport, unnamed), { minLength: 1, maxLength: 6 }), async (messages) => {
        const {
          rollout,
          ids: [id = ''],
        } = await enrolled(1);
        let model = fresh();
        for (const [named, hide] of messages) {
          const report = hide ? { ...named, stage: null } : named;
          await send(rollout.release, id, [report]);
          model = applyReport(model, report);
          const stored = await recordOf(rollout.release, id);
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
            fleet.flatMap(([, shuffled], i) => shuffled.map((report) => send(rollout.release, ids[i] ?? '', [report]))),
          );
          const models = fleet.map(([reports]) => reports.reduce(applyReport, fresh()));
          const stored = await Promise.all(ids.map((id) => recordOf(rollout.release, id)));
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
          for (const report of reports) await send(rollout.release, ids[i] ?? '', [report]);
        const records = await Promise.all(ids.map((id) => recordOf(rollout.release, id)));
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
  digest: `a${next ?? 'f'}`,
  counters: ['f2:7'],
  summary: '1',
});

describe('a download', () => {
  it('is counted once, however many race (law 5)', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    expect((await s.children.forPoll(id))?.offers).toEqual([{ release: rollout.release, epoch: 1 }]);
    const all = await Promise.all(Array.from({ length: 20 }, () => s.children.download(id, rollout.release)));
    expect(all.filter((applied) => applied.code === 'ok' && applied.changed)).toHaveLength(1);
    expect(await totals(rollout.release)).toEqual({ n: 1, r2: 1, 's0.1': 1 });
    const view = await s.children.forPoll(id);
    expect(view?.offers).toEqual([]);
    expect(view?.underway).toBe(rollout.release);
  });

  it('restarts nothing when it comes again later', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    await send(rollout.release, id, [completed(0, 1)]);
    const before = await totals(rollout.release);
    await s.children.download(id, rollout.release);
    expect(await totals(rollout.release)).toEqual(before);
  });

  it('is no way in for a child that is not enrolled', async () => {
    const { rollout } = await enrolled(1);
    await s.children.join({ id: 'stranger', at: 1, area: '[]', areaDigest: 'd', childCount: 0 });
    expect(await s.children.download('stranger', rollout.release)).toEqual({ code: 'absent' });
    expect(await recordOf(rollout.release, 'stranger')).toBeNull();
  });
});

describe('results that name no stage', () => {
  it('bind to consecutive stages, also in one message', async () => {
    const {
      rollout,
      ids: [one = '', two = ''],
    } = await enrolled(2);
    await send(rollout.release, one, [completed(null, 1)]);
    await send(rollout.release, one, [completed(null, 2)]);
    await send(rollout.release, two, [completed(null, 1), completed(null, 2), completed(null, null)]);
    expect((await recordOf(rollout.release, one))?.stages.map((x) => x.status)).toEqual([4, 4, 1]);
    expect((await recordOf(rollout.release, two))?.stages.map((x) => x.status)).toEqual([4, 4, 4]);
    expect((await s.children.forPoll(two))?.underway).toBeNull();
  });

  it('bind to one stage when the same one is sent twice at the same moment', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    await Promise.all([
      send(rollout.release, id, [completed(null, 1)]),
      send(rollout.release, id, [completed(null, 1)]),
    ]);
    expect((await recordOf(rollout.release, id))?.stages.map((x) => x.status)).toEqual([4, 1, 0]);
  });
});

describe('what can not be applied', () => {
  it('changes nothing for a deleted child, one that is not enrolled, or an earlier attempt', async () => {
    const {
      rollout,
      ids: [id = ''],
    } = await enrolled(1);
    const before = await totals(rollout.release);
    expect(await send('nothing', id, [completed(0, 1)])).toEqual({ code: 'absent' });
    const stale = await s.children.apply({
      id,
      release: rollout.release,
      at: 5,
      attempt: 7,
      reports: [completed(0, 1)],
    });
    expect(parseApplied(stale)).toEqual({ code: 'stale' });
    await s.client.del(s.keys.child(s.children.partition(id), id));
    expect(await send(rollout.release, id, [completed(0, 1)])).toEqual({ code: 'gone' });
    expect(await totals(rollout.release)).toEqual(before);
  });
});
