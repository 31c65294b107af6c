/**
 * The hot path in front of the application and the application itself answer the same in everything that a child can see.
 * The hot path takes exact paths only: the same request with a query goes the general way.
 */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BERLIN_AREA, STATUS, SUMMARY } from '#test/harness/manager/child-client.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
beforeAll(async () => {
  m = await startManager(stack, { BODY_LIMIT: '8kb' });
  await m.operator.publish('21');
  await m.child('c1').poll();
  await until('c1 is known', async () => (await m.operator.raw('GET', '/children/c1')).status === 200);
  await m.operator.start('21');
  await until('c1 is enrolled', async () => (await m.operator.child('21', 'c1')).release_status === 'Todo');
  await m.child('bystander').poll();
  await until(
    'the bystander is known',
    async () => (await m.operator.raw('GET', '/children/bystander')).status === 200,
  );
});
afterAll(() => stack.disposeAsync());

type Sent = { method?: string; headers?: Record<string, string>; body?: string | Buffer; chunks?: string[] };
type Seen = { status: number; headers: Record<string, string>; body: string };

/** Node's own client adds nothing to the headers but Host and the framing. */
function send(path: string, { method = 'POST', headers, body, chunks }: Sent): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const framing = chunks === undefined ? { 'content-length': Buffer.byteLength(body ?? '') } : {};
    const all = {
      'content-type': 'application/json',
      ...(method === 'GET' || method === 'HEAD' ? {} : framing),
      ...headers,
    };
    const sent = request(m.url + path, { method, headers: all }, (reply) => {
      const parts: Buffer[] = [];
      reply.on('data', (part: Buffer) => parts.push(part));
      reply.on('error', reject);
      reply.on('end', () =>
        resolve({
          status: reply.statusCode ?? 0,
          headers: seen(reply.rawHeaders),
          body: Buffer.concat(parts).toString('utf8'),
        }),
      );
    });
    // After its answer a refused upload may be cut off.
    sent.on('error', reject);
    for (const chunk of chunks ?? []) sent.write(chunk);
    sent.end(body);
  });
}

/** But for what differs from answer to answer: the time, the connection, and how long a child is asked to wait. */
function seen(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    if (name === 'date' || name === 'connection' || name === 'keep-alive') continue;
    headers[name] = name === 'retry-after' ? 'some seconds' : (raw[i + 1] ?? '');
  }
  return headers;
}

/** A child without an id is given one. */
const withoutIds = (body: string): string => body.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'an id');

const POLL = { id: 'c1', geographic_area: BERLIN_AREA, number_of_children: 0 };
const END = { id: 'c1', strategy_id: '21', stage_name: 'Canary' };
const named = { stage_name: 'Canary', status: STATUS.SuccessWaiting, ...SUMMARY };
const RESULT = { id: 'c1', release_id: '21', stage_summaries: [named], next_stage: 'Test' };
const times = { Median: 1, Minimum: 1, Maximum: 2 };
const SPECS = { ProxyTimes: times, F1TimesSummary: times, F2TimesSummary: times, F1ErrRate: 0, F2ErrRate: 0 };

const json = (value: unknown): Sent => ({ body: JSON.stringify(value) });
const BAD: [string, Sent][] = [
  ['no JSON', { body: '{' }],
  ['no object', { body: '[]' }],
  ['null', { body: 'null' }],
  ['a string that is no UTF-8', { body: Buffer.from([0x22, 0xff, 0xfe, 0x22]) }],
  ['a byte order mark', { body: '\ufeff{}' }],
  ['no body', { body: '' }],
  ['no body in chunks', { chunks: [] }],
  ['an empty object', { body: '{}' }],
  ['a fault with what it is about in it', { body: '{"id": "ä\u2028\\u0000ö' }],
  ['another media type', { body: '{}', headers: { 'content-type': 'text/plain' } }],
  ['a media type with another name behind it', { body: '{}', headers: { 'content-type': 'application/jsonx' } }],
  ['a form', { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ['another encoding', { body: '{}', headers: { 'content-encoding': 'gzip' } }],
  ['too large a body', { body: 'x'.repeat(9_000) }],
  ['too large a body in chunks', { chunks: ['x'.repeat(5_000), 'x'.repeat(5_000)] }],
  ['a body of just the limit', { body: 'x'.repeat(8_192) }],
  ['GET', { method: 'GET' }],
  ['HEAD', { method: 'HEAD' }],
  ['PUT', { method: 'PUT', body: '{}' }],
  ['DELETE', { method: 'DELETE' }],
  ['OPTIONS', { method: 'OPTIONS' }],
  ['PATCH', { method: 'PATCH', body: '{}' }],
];

/** Bodies of any kind that a good one can be sent as. */
const framed = (value: unknown): [string, Sent][] => {
  const text = JSON.stringify(value);
  return [
    ['as it is', { body: text }],
    ['in chunks', { chunks: [text.slice(0, 10), text.slice(10, 40), text.slice(40)] }],
    ['with spaces around it', { body: ` \n${JSON.stringify(value, null, 2)}\n` }],
    ['with a charset', { body: text, headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ['as another kind of JSON', { body: text, headers: { 'content-type': 'Application/vnd.choir+JSON' } }],
    ['as identity', { body: text, headers: { 'content-encoding': 'identity' } }],
    ['compressed, if it likes', { body: text, headers: { 'accept-encoding': 'gzip' } }],
    [
      'with unknown fields',
      { body: text.replace('{', '{"__proto__":{"id":"x"},"more":{"id":[1]},"constructor":null,') },
    ],
    ['with an Expect', { body: text, headers: { expect: '100-continue' } }],
    ['with another Accept', { body: text, headers: { accept: 'text/html' } }],
    ['with a token that is none', { body: text, headers: { authorization: 'Bearer x' } }],
  ];
};

const CASES: Record<string, [string, Sent][]> = {
  '/poll': [
    ...framed(POLL),
    ['a new child', json({ ...POLL, id: '' })],
    ['a new child without an id', json({ geographic_area: BERLIN_AREA, number_of_children: 10 })],
    ['an id as a number', json({ ...POLL, id: 77 })],
    ['an id as an unsafe number', { body: JSON.stringify(POLL).replace('"c1"', '12345678901234567890') }],
    ['an id of a wrong type', json({ ...POLL, id: null })],
    ['an id that is none', json({ ...POLL, id: 'a b' })],
    ['a key twice', { body: JSON.stringify(POLL).replace('{', '{"id":"zz",') }],
    ['a point', json({ ...POLL, geographic_area: { type: 'Point', coordinates: [1, 2] } })],
    ['no area', json({ ...POLL, geographic_area: undefined })],
    ['another area', json({ ...POLL, geographic_area: { ...BERLIN_AREA, bbox: [1, 2, 3, 4] } })],
    ['a latitude too great', { body: JSON.stringify(POLL).replace('52.49855383364354', '152.4') }],
    ['a negative count', json({ ...POLL, number_of_children: -1 })],
    ['a count that is a text', json({ ...POLL, number_of_children: '3' })],
  ],
  '/end_stage': [
    ...framed(END),
    ['a release as a number', json({ ...END, strategy_id: 21 })],
    ['a later stage', json({ ...END, stage_name: 'Gradual' })],
    ['an unknown stage', json({ ...END, stage_name: 'Nöpe\n' })],
    ['no stage', json({ ...END, stage_name: undefined })],
    ['an empty stage', json({ ...END, stage_name: '' })],
    ['an unknown release', json({ ...END, strategy_id: 'nope' })],
    ['a release that is none', json({ ...END, strategy_id: '..' })],
    ['an unknown child', json({ ...END, id: 'nobody' })],
    ['a child that is not enrolled', json({ ...END, id: 'bystander' })],
    ['an empty id', json({ ...END, id: '' })],
    ['a key twice', { body: JSON.stringify(END).replace('{', '{"id":"nobody",') }],
  ],
  '/result': [
    ...framed(RESULT),
    [
      "in the specification's spelling",
      json({
        ...RESULT,
        release_id: 21,
        stage_summaries: [{ ...SPECS, stage_name: 'Canary', status: 'SuccessWaiting', next_stage: 'Test' }],
        next_stage: undefined,
      }),
    ],
    ['without a name', json({ ...RESULT, stage_summaries: [{ ...named, stage_name: undefined }] })],
    ['in both spellings', json({ ...RESULT, stage_summaries: [{ ...named, ...SPECS }] })],
    ['an unknown stage', json({ ...RESULT, stage_summaries: [{ ...named, stage_name: 'Nope' }] })],
    ['an unknown next stage', json({ ...RESULT, next_stage: 'Nope' })],
    ['itself as the next stage', json({ ...RESULT, next_stage: 'Canary' })],
    ['a next stage of a wrong type', json({ ...RESULT, next_stage: 7 })],
    ['an unknown release', json({ ...RESULT, release_id: 'nope' })],
    ['an unknown child', json({ ...RESULT, id: 'nobody' })],
    ['a child that is not enrolled', json({ ...RESULT, id: 'bystander' })],
    ['no summaries', json({ ...RESULT, stage_summaries: [] })],
    [
      'too many summaries',
      { body: JSON.stringify({ ...RESULT, stage_summaries: [] }).replace('[]', `[${'1,'.repeat(70)}1]`) },
    ],
    ['a status that no child reports', json({ ...RESULT, stage_summaries: [{ ...named, status: 3 }] })],
    ['an error rate over 1', json({ ...RESULT, stage_summaries: [{ ...named, f1_err_rate: 1.1 }] })],
    ['a time that is missing', json({ ...RESULT, stage_summaries: [{ ...named, proxy_times: { median: 1 } }] })],
    ['a time that is infinite', { body: JSON.stringify(RESULT).replace('8.24175', '1e999') }],
  ],
};

const GOOD: Record<string, object> = { '/poll': POLL, '/end_stage': END, '/result': RESULT };
const STATUSES: Record<string, number[]> = {
  '/poll': [200, 400, 405, 413, 415],
  '/end_stage': [200, 400, 404, 405, 413, 415],
  '/result': [200, 400, 404, 405, 409, 413, 415],
};

describe.each(Object.entries(CASES))('%s', (path, cases) => {
  it.each([...cases, ...BAD])('answers the same on both ways: %s', async (_, sent) => {
    const hot = await send(path, sent);
    const general = await send(`${path}?general`, sent);
    const again = await send(path, sent);
    expect({ ...hot, body: withoutIds(hot.body) }).toEqual({ ...general, body: withoutIds(general.body) });
    expect({ ...again, body: withoutIds(again.body) }).toEqual({ ...general, body: withoutIds(general.body) });
  });

  it('meets good requests and every kind of bad one', async () => {
    const statuses = new Set<number>();
    for (const [, sent] of [...cases, ...BAD]) statuses.add((await send(path, sent)).status);
    for (const [, sent] of framed(GOOD[path])) expect((await send(path, sent)).status).toBe(200);
    expect([...statuses].sort((a, b) => a - b)).toEqual(STATUSES[path]);
  });
});

describe('the path', () => {
  it.each(['?x', '?id=c2', '?%zz'])('may have the query %s', async (query) => {
    expect(await send(`/poll${query}`, json(POLL))).toEqual(await send('/poll', json(POLL)));
  });
});
