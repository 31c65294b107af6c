/** The fields of a child's hash, in a real Redis: there are no others, and each of them goes with what it belongs to. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReleaseRef } from '#domain/child/messages.ts';
import { NO_NEXT, type StageReport } from '#domain/child/report.ts';
import { ReleaseStatus, type ReportedStatus, StageStatus } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import type { Rollout, RolloutStage } from '#domain/rollout/rollout.ts';
import { CHILD_FIELDS, isChildField, RECORD_FIELD } from '#store/children/child-fields.ts';
import { runningRollout } from '#test/harness/plans/records.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  s = await openStores(stack);
});
beforeEach(() => s.client.flushall());
afterAll(() => stack.disposeAsync());

type Field = keyof typeof CHILD_FIELDS;
const FIELDS = Object.keys(CHILD_FIELDS) as Field[];
const STAGES: RolloutStage[] = [
  { name: 'Canary', type: 'WaitForSignal' },
  { name: 'Gradual', type: 'WaitForSignal' },
];
const { SuccessWaiting, Completed, Failure } = StageStatus;
/** Its last message is so much older than a poll by which it is found to have left. */
const LEFT_AFTER = 10_000;
const ID = 'the-child';

const rolloutOf = (release: string, shortId: string): Rollout =>
  runningRollout(release, shortId, STAGES, { lostAfterMs: 1 });
const OLD = rolloutOf('old', '1');
const DOING = rolloutOf('doing', '2');
const TODO = rolloutOf('todo', '11');
const RELEASES = [OLD, DOING, TODO];

const keyOf = (id: string): string => s.keys.child(s.children.partition(id), id);
const hashOf = (id: string): Promise<Record<string, string>> => s.client.hgetall(keyOf(id));
const childFieldsIn = (hash: object): string[] => Object.keys(hash).filter(isChildField).sort();

const report = (stage: number, status: ReportedStatus, next: number): StageReport => ({
  stage,
  status,
  next,
  digest: 'abcdefabcdef',
  summary: packNumbers([1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
});

const joins = (id: string, at: number, area: string, childCount = 0): Promise<boolean> =>
  s.join({ id, at, area, digest: area, childCount });
const says = ({ release, shortId }: ReleaseRef, id: string, at: number, ...reports: StageReport[]) =>
  s.children.applyNow({ kind: 'result', id, release, shortId, at, attempt: null, reports });
const polls = ({ release, shortId }: ReleaseRef, id: string, at: number): Promise<boolean> =>
  s.heartbeat({ id, at, release, shortId, by: 'poll' });
const callsEndStage = ({ release, shortId }: ReleaseRef, id: string, at: number): Promise<boolean> =>
  s.heartbeat({ id, at, release, shortId, by: 'end_stage' });

async function enrols(rollout: Rollout, id: string): Promise<void> {
  await s.releases.addUnfinished(rollout.release);
  await s.flags.watch(rollout);
  await s.enrolment.enrolChild(s.children.partition(id), rollout, id);
}

/** As it has been silent since. */
const loses = (rollout: Rollout, id: string): Promise<string[]> =>
  s.flags.flagLost(s.children.partition(id), rollout, [id], 1_000_000);

/** A child that is Done with a release, and said something in each of its stages. */
async function givenDone(id: string): Promise<void> {
  await joins(id, 1_000, 'A');
  await enrols(OLD, id);
  await says(OLD, id, 2_000);
  await says(OLD, id, 3_000, report(0, Completed, 1), report(1, Completed, NO_NEXT));
  await s.releases.removeUnfinished(OLD.release);
}

/** What gives a field to a child that has joined. */
const GIVING: Record<Field, (id: string) => Promise<unknown>> = {
  f: (id) => joins(id, 900, 'A'),
  s: (id) => joins(id, 4_000, 'A'),
  w: (id) => joins(id, 4_000, 'B'),
  a: (id) => joins(id, 4_000, 'B'),
  d: (id) => joins(id, 4_000, 'B'),
  n: (id) => joins(id, 4_000, 'B', 3),
  p: (id) => enrols(TODO, id),
  async u(id) {
    await enrols(DOING, id);
    await says(DOING, id, 5_000);
  },
  async o(id) {
    await GIVING.u(id);
    await polls(DOING, id, 5_000 + LEFT_AFTER);
  },
  async l(id) {
    await enrols(TODO, id);
    await loses(TODO, id);
  },
};

/** A child with all of them: Done with one release, it has left another one, and is lost in a third before it was reached. */
async function givenAll(id: string): Promise<void> {
  await givenDone(id);
  for (const field of ['n', 'o', 'l'] as const) await GIVING[field](id);
}

async function recordsOf(id: string): Promise<Record<string, string>> {
  const fields = Object.keys(await hashOf(id)).filter((field) => RECORD_FIELD.test(field));
  const values = await Promise.all(fields.map((field) => s.client.hgetBuffer(keyOf(id), field)));
  return Object.fromEntries(fields.map((field, i) => [field, values[i]?.toString('hex') ?? '']));
}

const deletes = (id: string) =>
  s.children.delete(
    id,
    1_000_000,
    RELEASES.map(({ release }) => release),
  );

describe('a child that is deleted', () => {
  it.each(FIELDS)('loses its field %s, and its records stay', async (field) => {
    await givenDone(ID);
    await GIVING[field](ID);
    const before = await recordsOf(ID);
    expect(await hashOf(ID)).toHaveProperty(field);
    expect(Object.keys(before)).toEqual(expect.arrayContaining(['1', '1.1.0', '1.1.1']));
    expect(await deletes(ID)).toBe('deleted');
    expect(childFieldsIn(await hashOf(ID))).toEqual([]);
    expect(await recordsOf(ID)).toEqual(before);
  });

  it('loses all of them together, where it is lost as well, and leaves nothing but its records', async () => {
    await givenAll(ID);
    const before = await recordsOf(ID);
    expect(childFieldsIn(await hashOf(ID))).toEqual(FIELDS.toSorted());
    expect(await deletes(ID)).toBe('deleted');
    expect(Object.keys(await hashOf(ID)).sort()).toEqual(Object.keys(before).sort());
    expect(await recordsOf(ID)).toEqual(before);
    expect((await s.children.record('1', ID))?.status).toBe(ReleaseStatus.Done);
  });
});

describe('a release whose records are forgotten', () => {
  const forget = async ({ release, shortId, stages }: Rollout): Promise<void> => {
    const old = { release, shortId, stages: stages.length };
    for (let p = 0; p < s.partitions; p++) while (await s.children.forgetRecords(p, old, 100));
  };
  const without = (hash: Record<string, string>, fields: readonly string[]): Record<string, string> =>
    Object.fromEntries(Object.entries(hash).filter(([field]) => !fields.includes(field)));

  it('takes its head and all kept reports with it, and leaves what belongs to the child or to other releases', async () => {
    await givenAll(ID);
    // Of an earlier attempt, whatever left it there; and of releases with short ids that begin, or end, like its own.
    await s.client.hset(keyOf(ID), { '1': (await hashOf(ID))['1']?.replace(/^(\d) 1 /, '$1 3 ') ?? '' });
    await s.client.hset(keyOf(ID), { '1.2.0': 'x', '1.3.1': 'x', '11.1.0': 'x', '2.1.1': 'x', '21.1.0': 'x' });
    const before = await hashOf(ID);
    await forget(OLD);
    const gone = ['1', '1.1.0', '1.1.1', '1.2.0', '1.3.1'];
    for (const field of gone) expect(before).toHaveProperty([field]);
    expect(await hashOf(ID)).toEqual(without(before, gone));
    expect(childFieldsIn(await hashOf(ID))).toEqual(FIELDS.toSorted());
    const p = s.children.partition(ID);
    expect(await s.client.exists(s.keys.index(p, 'old'), s.keys.due(p, 'old'))).toBe(0);
    expect(await s.client.hget(s.keys.agg(p, 'old'), 'r3')).toBe('1');
  });

  it('takes its entries among offers, and among the releases in which a child is lost, with it', async () => {
    await joins(ID, 1_000, 'A');
    for (const rollout of RELEASES) await enrols(rollout, ID);
    for (const rollout of RELEASES) expect(await loses(rollout, ID)).toEqual([ID]);
    const before = await hashOf(ID);
    expect(before).toMatchObject({ p: 'old:1 doing:1 todo:1', l: 'old:1 doing:2 todo:11' });
    await forget(DOING);
    expect(await hashOf(ID)).toEqual({ ...without(before, ['2']), p: 'old:1 todo:1', l: 'old:1 todo:11' });
    await forget(OLD);
    expect(await hashOf(ID)).toEqual({ ...without(before, ['1', '2']), p: 'todo:1', l: 'todo:11' });
    await forget(TODO);
    expect(await hashOf(ID)).toEqual(without(before, ['1', '2', '11', 'p', 'l']));
  });

  it('takes what says that the child runs it with it, and that it has left, but only its own', async () => {
    await givenDone(ID);
    await GIVING.o(ID);
    const before = await hashOf(ID);
    expect(before).toMatchObject({ u: 'doing 2', o: String(5_000 + LEFT_AFTER) });
    await forget(OLD);
    expect(await hashOf(ID)).toMatchObject({ u: 'doing 2', o: String(5_000 + LEFT_AFTER) });
    await forget(DOING);
    expect(await hashOf(ID)).toEqual(without(before, ['1', '1.1.0', '1.1.1', '2', 'u', 'o']));
  });

  it('leaves the records of other children, and theirs of other releases', async () => {
    for (const id of [ID, 'another']) await givenDone(id);
    await joins('a-third', 1_000, 'A');
    await enrols(TODO, 'a-third');
    const before = await hashOf('a-third');
    await forget(OLD);
    for (const id of [ID, 'another']) expect(Object.keys(await recordsOf(id))).toEqual([]);
    expect(await hashOf('a-third')).toEqual(before);
  });
});

describe('a whole course', () => {
  it('leaves no field in the hash of a child that is not listed, and comes by every one that is', async () => {
    const found = new Set<string>();
    async function look(): Promise<void> {
      const keys = await s.client.keys(s.keys.child(0, '*').replace('{0}', '{*}'));
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys)
        for (const field of await s.client.hkeys(key)) {
          expect(isChildField(field) || RECORD_FIELD.test(field), `field ${field} of ${key}`).toBe(true);
          found.add(field);
        }
    }
    const [first, second] = [TODO, DOING];
    const steps: (() => Promise<unknown>)[] = [
      () => joins(ID, 1_000, 'A', 2),
      () => joins('beside', 1_000, 'A'),
      () => joins(ID, 2_000, 'B', 3),
      () => enrols(first, ID),
      () => enrols(first, 'beside'),
      () => loses(first, ID),
      () => polls(first, ID, 2_000_000),
      () => says(first, ID, 2_001_000),
      () => polls(first, ID, 2_001_000 + LEFT_AFTER),
      () => callsEndStage(first, ID, 2_002_000 + LEFT_AFTER),
      () => says(first, ID, 2_020_000, report(0, SuccessWaiting, 1)),
      () => s.flags.promote(first, ID, 0),
      () => says(first, ID, 2_021_000, report(0, Completed, 1)),
      () => says(first, ID, 2_022_000, report(1, Failure, NO_NEXT)),
      () => s.flags.retry(first, [ID]),
      () => says(first, ID, 2_023_000),
      () => says(first, ID, 2_024_000, report(0, Completed, 1), report(1, Completed, NO_NEXT)),
      () => enrols(second, ID),
      () => says(second, ID, 2_025_000, report(0, Completed, NO_NEXT)),
      () => s.flags.eject(first, 'beside'),
      async () => expect(await s.children.delete('beside', 3_000_000, [])).toBe('deleted'),
    ];
    for (const step of steps) {
      await step();
      await look();
    }
    expect((await s.children.record(first.shortId, ID))?.status).toBe(ReleaseStatus.Done);
    expect([...found].filter(isChildField).sort()).toEqual(FIELDS.toSorted());
    expect([...found]).toEqual(expect.arrayContaining(['11', '11.1.0', '11.1.1', '11.2.0', '11.2.1', '2', '2.1.0']));
  });
});
