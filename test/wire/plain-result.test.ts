/** The fast check of results against the schema: null, or exactly what the schema makes of the same text. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SUMMARY } from '#test/harness/manager/child-client.ts';
import { check, resultRequest } from '#wire/child/requests.ts';
import { plainResult } from '#wire/child/plain-result.ts';

/** A text of JSON whose objects are lists of members: keys may stand there twice, or be written with escapes. */
type Members = readonly (readonly [key: string, json: string])[];

const write = (members: Members): string => `{${members.map(([key, json]) => `${key}:${json}`).join(',')}}`;
const key = (name: string): string => JSON.stringify(name);
/** With its first character as an escape. */
const escaped = (name: string): string =>
  `"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${JSON.stringify(name.slice(1)).slice(1)}`;

const anyJson = fc.oneof(
  fc.constantFrom(
    'null',
    '""',
    '"x"',
    '0',
    '-1',
    '1.5',
    '1e999',
    '-1e999',
    '2',
    '4',
    '9',
    'true',
    '[]',
    '{}',
    '"\\u0041"',
  ),
  fc.json({ maxDepth: 1 }),
);

/** Mostly as it is, sometimes with a member less, another spelling, a wrong value, one more or one twice. */
function disturbed(good: fc.Arbitrary<Members>, spellings: Record<string, string>): fc.Arbitrary<Members> {
  const extraKey = fc.oneof(
    fc.constantFrom(...Object.keys(spellings), ...Object.values(spellings), '__proto__', 'constructor', 'next_stage'),
    fc.string({ maxLength: 6 }),
  );
  const extra = fc.tuple(fc.oneof(extraKey.map(key), extraKey.filter((name) => name !== '').map(escaped)), anyJson);
  const change = fc.tuple(fc.constantFrom('drop', 'respell', 'escape', 'wrong', 'twice', 'add'), fc.nat(), extra);
  return fc
    .tuple(good, fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(change, { maxLength: 2 })))
    .map(([members, changes]) =>
      changes.reduce<Members>((all, [what, at, more]) => {
        const i = at % Math.max(all.length, 1);
        const [name, json] = all[i] ?? more;
        if (what === 'drop') return all.toSpliced(i, 1);
        if (what === 'wrong') return all.with(i, [name, more[1]]);
        if (what === 'twice') return [...all, [name, more[1]]];
        if (what === 'add') return [...all, more];
        const plain = JSON.parse(name) as string;
        return all.with(i, [what === 'escape' && plain !== '' ? escaped(plain) : key(spellings[plain] ?? plain), json]);
      }, members),
    );
}

const number = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1, max: 1e6 }).map((n) => JSON.stringify(n));
const rate = fc.double({ noNaN: true, min: 0, max: 1 }).map((n) => JSON.stringify(n));
const members = (fields: Record<string, fc.Arbitrary<string>>): fc.Arbitrary<Members> =>
  fc.record(fields).map((values) => Object.entries(values).map(([name, json]) => [key(name), json] as const));

const times = disturbed(members({ median: number, minimum: number, maximum: number }), {
  median: 'Median',
  minimum: 'Minimum',
  maximum: 'Maximum',
}).map(write);
const stage = fc
  .oneof(fc.constantFrom('Canary', 'A/B Test', '', '<x>', 'rollout'), fc.string())
  .map((s) => JSON.stringify(s));
const summary = disturbed(
  members({
    stage_name: stage,
    status: fc.constantFrom('2', '4', '5', '6', '3', '"Completed"', '"Failure"', '"Nope"'),
    proxy_times: times,
    f1_times_summary: times,
    f2_times_summary: times,
    f1_err_rate: rate,
    f2_err_rate: rate,
  }),
  {
    proxy_times: 'ProxyTimes',
    f1_times_summary: 'F1TimesSummary',
    f2_times_summary: 'F2TimesSummary',
    f1_err_rate: 'F1ErrRate',
    f2_err_rate: 'F2ErrRate',
  },
).map(write);
const body = disturbed(
  members({
    id: fc.constantFrom('"c1"', '"a b"', '7', '""', '"x.y:z"'),
    release_id: fc.constantFrom('"21"', '21', '".."', '"1.0"'),
    stage_summaries: fc.array(summary, { minLength: 1, maxLength: 2 }).map((all) => `[${all.join(',')}]`),
    next_stage: fc.oneof(fc.constantFrom('null', '"rollback"', '7'), stage),
  }),
  {},
).map(write);

describe('the fast check of a result', () => {
  it('is null, or what the schema makes of it', () => {
    fc.assert(
      fc.property(body, (text) => {
        const plain = plainResult(text);
        if (plain !== null) expect({ data: plain }).toEqual(check(resultRequest, JSON.parse(text)));
      }),
      { numRuns: 3_000 },
    );
  });

  it.each<[string, string, string]>([
    ['behind escapes', '"f1_err_rate"', '"F1Err\\u0052ate":1,"f1_err_rate"'],
    ['as a prototype', '"proxy_times"', '"__proto__":{"F1ErrRate":1},"proxy_times"'],
    ['as a prototype behind escapes', '"proxy_times"', '"\\u005f_proto__":{"f1_err_rate":1},"proxy_times"'],
    ['that is no finite number', '8.24175', '1e999'],
  ])('leaves a field %s to the schema', (_, from, to) => {
    const text = agentsBody('Canary', 4, 'Test').replace(from, to);
    expect(text).toContain(to);
    expect(plainResult(text)).toBeNull();
  });

  it('takes what agents send', () => {
    for (const [name, status, next] of [
      ['Canary', 2, 'A/B Test'],
      ['Canary', 4, 'A/B Test'],
      ['Gradual', 4, 'rollout'],
      ['Canary', 5, 'rollback'],
      ['Canary', 6, ''],
    ] as const) {
      const text = agentsBody(name, status, next);
      expect(plainResult(text)).not.toBeNull();
      expect({ data: plainResult(text) }).toEqual(check(resultRequest, JSON.parse(text)));
    }
  });
});

describe('a next stage beside the summaries', () => {
  const names = { stage_name: 'Canary', status: 4, ...SUMMARY };
  const nextOf = (own: object, top: object) => {
    const text = JSON.stringify({ id: 'c', release_id: '21', stage_summaries: [{ ...names, ...own }], ...top });
    const checked = check(resultRequest, JSON.parse(text));
    if ('fault' in checked) throw new Error(checked.fault);
    const { next, nextField } = checked.data.reports[0] ?? {};
    return [next, nextField];
  };

  it.each<[object, object, string | null | undefined, string]>([
    [{}, { next_stage: 'Test' }, 'Test', 'next_stage'],
    [{ next_stage: null }, { next_stage: 'Test' }, 'Test', 'next_stage'],
    [{ next_stage: '' }, { next_stage: 'Test' }, 'Test', 'next_stage'],
    [{ next_stage: 'rollout' }, { next_stage: 'Test' }, 'rollout', 'stage_summaries[0].next_stage'],
    [{ next_stage: 'Other' }, { next_stage: 'Test' }, 'Other', 'stage_summaries[0].next_stage'],
    [{ next_stage: '' }, {}, '', 'next_stage'],
    [{ next_stage: null }, { next_stage: null }, null, 'next_stage'],
    [{}, {}, undefined, 'next_stage'],
  ])('with %j in the last and %j is %j', (own, top, next, field) => {
    expect(nextOf(own, top)).toEqual([next, field]);
  });

  it('belongs to the last of them only', () => {
    const checked = check(resultRequest, {
      id: 'c',
      release_id: '21',
      stage_summaries: [
        { ...names, next_stage: null },
        { ...names, stage_name: 'Test', next_stage: null },
      ],
      next_stage: 'Gradual',
    });
    expect('data' in checked && checked.data.reports.map(({ next }) => next)).toEqual([null, 'Gradual']);
  });
});

function agentsBody(name: string, status: number, next: string): string {
  return JSON.stringify({
    id: '7ca56103-ba82-44e0-83f5-82d1bcfd88a8',
    release_id: '21',
    stage_summaries: [{ stage_name: name, status, ...SUMMARY }],
    next_stage: next,
  });
}
