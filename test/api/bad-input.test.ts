/** Bad input on the child endpoints: a line of text that names the field, the right status, and nothing changed. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BERLIN_AREA, post, SUMMARY } from '#test/harness/manager/child-client.ts';
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
});
afterAll(() => stack.disposeAsync());

const POLL = { id: 'c1', geographic_area: BERLIN_AREA, number_of_children: 0 };
const RESULT = {
  id: 'c1',
  release_id: '21',
  stage_summaries: [{ stage_name: 'Canary', status: 4, ...SUMMARY }],
  next_stage: 'Test',
};
const END = { id: 'c1', strategy_id: '21', stage_name: 'Canary' };
const ring = (...points: unknown[]) => ({ ...POLL, geographic_area: { type: 'Polygon', coordinates: [points] } });
const summary = (more: object) => ({ ...RESULT, stage_summaries: [{ ...RESULT.stage_summaries[0], ...more }] });
const without = (body: object, key: string) =>
  Object.fromEntries(Object.entries(body).filter(([name]) => name !== key));

type Case = [path: string, body: unknown, status: number, field: RegExp];
const cases: Case[] = [
  ['/poll', '{', 400, /^the body is not JSON/],
  ['/poll', '[]', 400, /^the body must be an object/],
  ['/poll', 'null', 400, /^the body must be an object/],
  ['/poll', { ...POLL, id: null }, 400, /^id /],
  ['/poll', { ...POLL, id: 'a b' }, 400, /^id must be 1 to 128/],
  ['/poll', { ...POLL, id: 'x'.repeat(129) }, 400, /^id /],
  ['/poll', { ...POLL, id: {} }, 400, /^id /],
  ['/poll', without(POLL, 'geographic_area'), 400, /^geographic_area is missing/],
  ['/poll', { ...POLL, geographic_area: null }, 400, /^geographic_area must be an object/],
  [
    '/poll',
    { ...POLL, geographic_area: { type: 'Point', coordinates: [1, 2] } },
    400,
    /^geographic_area\.type must be "Polygon"/,
  ],
  ['/poll', { ...POLL, geographic_area: { type: 'Polygon', coordinates: [] } }, 400, /^geographic_area\.coordinates/],
  ['/poll', ring([0, 0], [1, 0], [1, 1]), 400, /^geographic_area\.coordinates\[0\].*four points/],
  ['/poll', ring([0, 0], [1, 0], [1, 1], [0, 1]), 400, /^geographic_area\.coordinates\[0\].*closed/],
  [
    '/poll',
    ring([0, 0], [1, 'x'], [1, 1], [0, 0]),
    400,
    /^geographic_area\.coordinates\[0\]\[1\]\[1\] must be a number/,
  ],
  ['/poll', ring([0, 0], [1], [1, 1], [0, 0]), 400, /^geographic_area\.coordinates\[0\]\[1\]/],
  ['/poll', ring([0, 0], [1, 91], [1, 1], [0, 0]), 400, /^geographic_area\.coordinates\[0\]\[1\]\[1\].*latitude/],
  ['/poll', ring([0, 0], [541, 1], [1, 1], [0, 0]), 400, /^geographic_area\.coordinates\[0\]\[1\]\[0\].*longitude/],
  ['/poll', without(POLL, 'number_of_children'), 400, /^number_of_children is missing/],
  ['/poll', { ...POLL, number_of_children: -1 }, 400, /^number_of_children must be from 0/],
  ['/poll', { ...POLL, number_of_children: 1.5 }, 400, /^number_of_children must be a whole/],
  ['/poll', { ...POLL, number_of_children: 1e9 + 1 }, 400, /^number_of_children must be from 0/],
  ['/poll', { ...POLL, number_of_children: '3' }, 400, /^number_of_children must be a number/],
  ['/poll', { ...POLL, more: 'x'.repeat(9000) }, 413, /^the body is larger than 8192 bytes/],
  ['/result', without(RESULT, 'id'), 400, /^id /],
  ['/result', { ...RESULT, id: '' }, 400, /^id /],
  ['/result', without(RESULT, 'release_id'), 400, /^release_id /],
  ['/result', { ...RESULT, release_id: '..' }, 400, /^release_id /],
  ['/result', { ...RESULT, release_id: 'x'.repeat(65) }, 400, /^release_id /],
  ['/result', { ...RESULT, stage_summaries: [] }, 400, /^stage_summaries must hold at least one/],
  ['/result', without(RESULT, 'stage_summaries'), 400, /^stage_summaries is missing/],
  ['/result', summary({ status: 'InProgress' }), 400, /^stage_summaries\[0\]\.status must be one that a child reports/],
  ['/result', summary({ status: 3 }), 400, /^stage_summaries\[0\]\.status must be one that a child reports/],
  ['/result', summary({ status: 7 }), 400, /^stage_summaries\[0\]\.status/],
  ['/result', summary({ status: null }), 400, /^stage_summaries\[0\]\.status/],
  ['/result', summary({ f1_err_rate: 1.1 }), 400, /^stage_summaries\[0\]\.F1ErrRate must be from 0 to 1/],
  ['/result', summary({ f2_err_rate: undefined }), 400, /^stage_summaries\[0\]\.F2ErrRate is missing/],
  ['/result', summary({ f2_times_summary: null }), 400, /^stage_summaries\[0\]\.F2TimesSummary must be an object/],
  [
    '/result',
    summary({ proxy_times: { median: 1, minimum: 1 } }),
    400,
    /^stage_summaries\[0\]\.ProxyTimes\.Maximum is missing/,
  ],
  ['/result', summary({ stage_name: null }), 400, /^stage_summaries\[0\]\.stage_name/],
  ['/result', { ...RESULT, next_stage: 7 }, 400, /^next_stage must be a string or null/],
  ['/result', summary({ stage_name: 'Nope' }), 404, /^stage_summaries\[0\]\.stage_name: release 21 has no stage/],
  ['/result', { ...RESULT, next_stage: 'Nope' }, 404, /^next_stage: release 21 has no stage/],
  ['/result', { ...RESULT, release_id: 'nope' }, 404, /^release_id: there is no release/],
  ['/result', { ...RESULT, id: 'nobody' }, 404, /^id: there is no child/],
  ['/result', { ...RESULT, id: 'bystander' }, 409, /^release_id: child bystander is not enrolled/],
  ['/end_stage', without(END, 'stage_name'), 400, /^stage_name is missing/],
  ['/end_stage', { ...END, stage_name: '' }, 400, /^stage_name /],
  ['/end_stage', { ...END, strategy_id: '.' }, 400, /^strategy_id /],
  ['/end_stage', without(END, 'id'), 400, /^id is missing/],
  ['/end_stage', { ...END, id: 'bystander' }, 404, /^id: no child bystander is enrolled/],
];

describe('a bad request', () => {
  it.each(cases)('%s %j is %d', async (path, body, status, field) => {
    await m.child('bystander').poll();
    await until(
      'the bystander is known',
      async () => (await m.operator.raw('GET', '/children/bystander')).status === 200,
    );
    const before = await m.operator.child('21', 'c1');
    const reply = await post(m.url + path, body);
    expect([reply.status, reply.text.trimEnd()]).toEqual([status, expect.stringMatching(field)]);
    expect(reply.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(reply.text.trimEnd()).not.toContain('\n');
    expect(await m.operator.child('21', 'c1')).toEqual(before);
  });

  it('is 415 for another media type or encoding', async () => {
    expect((await post(`${m.url}/poll`, POLL, { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await post(`${m.url}/poll`, POLL, { 'content-encoding': 'gzip' })).status).toBe(415);
    expect((await post(`${m.url}/poll`, POLL, { 'content-type': 'application/json; charset=utf-8' })).status).toBe(200);
  });

  it.each([
    ['GET', '/poll', 'POST'],
    ['GET', '/result', 'POST'],
    ['DELETE', '/end_stage', 'POST'],
    ['POST', '/release', 'HEAD, GET'],
    ['PUT', '/release/functions/21', 'HEAD, GET'],
  ])('%s %s is 405 and says what is allowed', async (method, path, allow) => {
    const reply = await fetch(m.url + path, { method });
    expect([reply.status, reply.headers.get('allow')]).toEqual([405, allow]);
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
  });

  it('is 404 in text for any other path', async () => {
    const reply = await fetch(`${m.url}/nowhere`, { method: 'POST', body: '{}' });
    expect([reply.status, await reply.text()]).toEqual([404, 'there is nothing at /nowhere\n']);
  });

  it('is cut off when it claims little and sends much', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        `${m.url}/poll`,
        { method: 'POST', headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } },
        (reply) => {
          resolve(reply.statusCode ?? 0);
          sent.destroy();
        },
      );
      sent.on('error', reject);
      sent.write('x'.repeat(20_000));
    });
    expect(status).toBe(413);
  });

  it('takes unknown extra fields, and numbers for ids', async () => {
    const reply = await post(`${m.url}/poll`, { ...POLL, id: 77, something: { else: [1] } });
    expect(JSON.parse(reply.text)).toEqual({ id: '77', new_release: '' });
  });
});
