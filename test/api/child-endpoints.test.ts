/** The five child endpoints over HTTP, in both spellings. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BERLIN_AREA, post, STATUS, SUMMARY } from '#test/harness/manager/child-client.ts';
import { sieveYml, sieveZip } from '#test/harness/plans/release-files.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
beforeAll(async () => {
  m = await startManager(stack);
});
afterAll(() => stack.disposeAsync());

let serial = 100;
/** A release that runs, with these children enrolled in it and told of it. */
async function running(...ids: string[]): Promise<string> {
  const release = String(serial++);
  await m.operator.publish(release);
  for (const id of ids) await m.child(id).poll();
  await until('all joined', async () => {
    const known = await Promise.all(ids.map((id) => m.operator.raw('GET', `/children/${id}`)));
    return known.every((reply) => reply.status === 200);
  });
  await m.operator.start(release);
  for (const id of ids) await until('an offer', async () => (await m.child(id).poll()).new_release === release);
  return release;
}
const stages = async (release: string, id: string): Promise<string[]> =>
  (await m.operator.child(release, id)).stages.map((stage) => stage.status);
const becomes = (release: string, id: string, ...expected: string[]) =>
  until(`${id} is ${expected.join(' ')}`, async () => (await stages(release, id)).join(' ') === expected.join(' '));

/** The specification's own samples, word for word. */
const SPEC_POLL = `{
  "geographic_area": {"type": "Polygon", "coordinates": [[[13.34138389963175, 52.49855383364354], [13.474766810586402, 52.49855383364354], [13.474766810586402, 52.557371936926614], [13.34138389963175, 52.557371936926614], [13.34138389963175, 52.49855383364354]]]},
  "number_of_children": 10,
  "id": "7cb606ee-fde1-4b2c-bffc-20f558fc2867"
}`;
const SPEC_SUMMARY = `{
  "ProxyTimes": {"Median": 8.24175, "Minimum": 7.03625, "Maximum": 21.592958},
  "F1TimesSummary": {"Median": 7.912958, "Minimum": 6.979334, "Maximum": 19.588959},
  "F2TimesSummary": {"Median": 8.200792, "Minimum": 7.104208, "Maximum": 21.5505},
  "F1ErrRate": 0, "F2ErrRate": 0, "status": "Completed", "next_stage": NEXT
}`;

describe('POST /poll', () => {
  it('takes the specification’s sample, and answers exactly id and new_release', async () => {
    const reply = await post(`${m.url}/poll`, SPEC_POLL);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.text)).toEqual({ id: '7cb606ee-fde1-4b2c-bffc-20f558fc2867', new_release: '' });
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it.each([{ id: '' }, {}])('gives a new child a UUID: %j', async (id) => {
    const reply = await post(`${m.url}/poll`, { ...id, geographic_area: BERLIN_AREA, number_of_children: 0 });
    const answer = JSON.parse(reply.text) as { id: string };
    expect(answer.id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    await until('it is known', async () => (await m.operator.raw('GET', `/children/${answer.id}`)).status === 200);
  });

  it('takes an unknown id in under that id', async () => {
    expect(await m.child('edge:7').poll()).toEqual({ id: 'edge:7', new_release: '' });
    const child = await until('it is known', async () => {
      const reply = await m.operator.raw('GET', '/children/edge:7');
      return reply.status === 200 && (JSON.parse(reply.text) as { geographic_area: unknown });
    });
    // Kept to a centimetre: seven decimals of a degree.
    const kept = BERLIN_AREA.coordinates.map((ring) => ring.map((point) => point.map((n) => Number(n.toFixed(7)))));
    expect(child.geographic_area).toEqual({ type: 'Polygon', coordinates: kept });
  });

  it('takes over a new area and number of children', async () => {
    const moved = {
      type: 'Polygon',
      coordinates: [
        [
          [179, 0],
          [181, 0],
          [181, 1],
          [179, 0],
        ],
      ],
    };
    await m.child('mover').poll();
    await m.child('mover').poll({ geographic_area: moved, number_of_children: 5 });
    await until('the new area is kept', async () => {
      const reply = await m.operator.raw('GET', '/children/mover');
      const child = JSON.parse(reply.text) as {
        geographic_area?: { coordinates: number[][][] };
        number_of_children: number;
      };
      return child.number_of_children === 5 && child.geographic_area?.coordinates[0]?.[1]?.[0] === 181;
    });
  });

  it('repeats the offer until the download, and never after (law 5)', async () => {
    const child = m.child('offered');
    const release = await running('offered');
    for (let i = 0; i < 3; i++) expect((await child.poll()).new_release).toBe(release);
    expect((await child.download(release)).status).toBe(200);
    for (let i = 0; i < 3; i++) expect((await child.poll()).new_release).toBe('');
  });
});

describe('GET /release and /release/functions', () => {
  it('serves release.yml byte for byte and fns.zip under its name, with ETag, 304 and ranges', async () => {
    const release = await running('loader');
    const child = m.child('loader');
    const whole = await child.download(release);
    expect(whole.text).toBe(sieveYml(release));
    expect(whole.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(whole.headers.get('content-length')).toBe(String(Buffer.byteLength(sieveYml(release))));
    const etag = whole.headers.get('etag') ?? '';
    expect((await child.download(release, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const part = await child.download(release, { headers: { range: 'bytes=0-3' } });
    expect([part.status, part.text, part.headers.get('content-range')]).toEqual([
      206,
      'id: ',
      `bytes 0-3/${whole.text.length}`,
    ]);
    const changed = await child.download(release, { headers: { range: 'bytes=0-3', 'if-range': '"other"' } });
    expect(changed.status).toBe(200);
    const beyond = await child.download(release, { headers: { range: 'bytes=999999-' } });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${whole.text.length}`]);

    const zip = await fetch(`${m.url}/release/functions/${release}`);
    expect(zip.headers.get('content-disposition')).toBe('attachment; filename="fns.zip"');
    expect(Buffer.from(await zip.arrayBuffer())).toEqual(await sieveZip());
    const range = await fetch(`${m.url}/release/functions/${release}`, { headers: { range: 'bytes=0-1' } });
    expect([range.status, await range.text()]).toEqual([206, 'PK']);
  });

  it.each<[string, number, RequestInit, string]>([
    ['a GET', 200, {}, 'InProgress'],
    ['a GET answered 304', 304, {}, 'InProgress'],
    ['a GET answered 206', 206, { headers: { range: 'bytes=5-9' } }, 'InProgress'],
    ['a GET answered 416', 416, { headers: { range: 'bytes=99999-' } }, 'Pending'],
    ['a HEAD', 200, { method: 'HEAD' }, 'Pending'],
  ])('%s makes the first stage what it should be', async (name, status, init, first) => {
    const id = name.replaceAll(' ', '-');
    const release = await running(id);
    const { headers } = await m.child(id).download(release, { method: 'HEAD' });
    expect(headers.get('content-length')).toBe(String(sieveYml(release).length));
    const given = status === 304 ? { headers: { 'if-none-match': headers.get('etag') ?? '' } } : init;
    expect((await m.child(id).download(release, given)).status).toBe(status);
    expect((await m.operator.child(release, id)).release_status).toBe(first === 'Pending' ? 'Todo' : 'Doing');
    expect(await stages(release, id)).toEqual([first, 'Pending', 'Pending']);
  });

  it('gives nothing to a child that is not enrolled, and nothing that does not exist', async () => {
    const release = await running('member');
    await m.child('outsider').poll();
    for (const [path, status] of [
      [`/release?childID=outsider&releaseID=${release}`, 404],
      ['/release?childID=member&releaseID=nope', 404],
      [`/release?childID=member`, 400],
      [`/release?childID=a%20b&releaseID=${release}`, 400],
      ['/release/functions/nope', 404],
      ['/release/functions/..%2Fx', 400],
    ] as const) {
      const reply = await fetch(m.url + path);
      expect([path, reply.status]).toEqual([path, status]);
      expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
      expect((await reply.text()).trimEnd()).not.toContain('\n');
    }
    expect((await m.operator.child(release, 'outsider')).release_status).toBe('No');
  });
});

describe('POST /result', () => {
  it('takes a result of the reference agent and starts the next stage', async () => {
    const release = await running('r1');
    await m.child('r1').download(release);
    const reply = await m.child('r1').result(release, 'Canary', STATUS.SuccessWaiting, 'Test');
    expect([reply.status, reply.text]).toEqual([200, '']);
    await becomes(release, 'r1', 'SuccessWaiting', 'Pending', 'Pending').catch(() =>
      becomes(release, 'r1', 'ShouldEnd', 'Pending', 'Pending'),
    );
    await m.child('r1').result(release, 'Canary', STATUS.Completed, 'Test');
    await becomes(release, 'r1', 'Completed', 'InProgress', 'Pending');
    const { summary } = (await m.operator.child(release, 'r1')).stages[0] ?? {};
    expect(summary).toEqual(SUMMARY);
  });

  it('takes the specification’s sample, twice in a row, for consecutive stages', async () => {
    const release = await running('spec');
    await m.child('spec').download(release);
    const body = (next: string): string =>
      `{"id": "spec", "release_id": ${release}, "stage_summaries": [${SPEC_SUMMARY.replace('NEXT', next)}]}`;
    const replies = [await post(`${m.url}/result`, body('"Test"')), await post(`${m.url}/result`, body('"Gradual"'))];
    expect(replies.map(({ status, text }) => [status, text])).toEqual([
      [200, ''],
      [200, ''],
    ]);
    // Applied in the request itself: no waiting.
    expect(await stages(release, 'spec')).toEqual(['Completed', 'Completed', 'InProgress']);
    await post(`${m.url}/result`, body('"Gradual"'));
    expect(await stages(release, 'spec')).toEqual(['Completed', 'Completed', 'InProgress']);
    await post(`${m.url}/result`, body('null'));
    expect((await m.operator.child(release, 'spec')).release_status).toBe('Done');
  });

  it('takes several unnamed summaries in one request, with the next stage of the last beside them', async () => {
    const release = await running('several');
    const unnamed = (next?: string) => ({
      status: 'Completed',
      ...SUMMARY,
      ...(next === undefined ? {} : { next_stage: next }),
    });
    const body = {
      id: 'several',
      release_id: release,
      stage_summaries: [unnamed('Test'), unnamed()],
      next_stage: 'Gradual',
    };
    expect((await post(`${m.url}/result`, body)).status).toBe(200);
    expect(await stages(release, 'several')).toEqual(['Completed', 'Completed', 'InProgress']);
  });

  it('takes several named summaries in the agent’s spelling: a Completed one led to the next of them', async () => {
    const release = await running('spelling', 'broken');
    const named = (stage_name: string, status: number) => ({ stage_name, status, ...SUMMARY });
    const send = (id: string, summaries: object[], next_stage: string) =>
      post(`${m.url}/result`, { id, release_id: release, stage_summaries: summaries, next_stage });
    await send('spelling', [named('Canary', 2), named('Canary', 4), named('Test', 4)], 'Gradual');
    await becomes(release, 'spelling', 'Completed', 'Completed', 'InProgress');
    // A Failure that says nothing of a next stage has none, whatever comes behind it.
    await send('broken', [named('Canary', 5), named('Test', 4)], 'Gradual');
    await until('Failed', async () => (await m.operator.child(release, 'broken')).release_status === 'Failed');
  });

  it('is 400 when a stage names itself as its next, and says so in one line', async () => {
    const release = await running('selfish');
    const reply = await m.child('selfish').result(release, 'Canary', 4, 'Canary');
    expect([reply.status, reply.text]).toEqual([400, 'next_stage names the stage itself\n']);
    const odd = await m.child('selfish').result(release, 'No\npe\u001b[2J', 4, 'Test');
    expect([odd.status, odd.text]).toEqual([
      404,
      `stage_summaries[0].stage_name: release ${release} has no stage "No pe [2J"\n`,
    ]);
  });

  it.each(['rollout', 'rollback', '', null, undefined])('takes %j for no next stage', async (next) => {
    const id = `next-${next ?? String(next)}`;
    const release = await running(id);
    const body = {
      id,
      release_id: release,
      stage_summaries: [{ stage_name: 'Canary', status: 4, ...SUMMARY }],
      next_stage: next,
    };
    expect((await post(`${m.url}/result`, body)).status).toBe(200);
    await until('Done', async () => (await m.operator.child(release, id)).release_status === 'Done');
  });

  it('is proof of a download, and takes a result for a stage that is still Pending', async () => {
    const release = await running('overtaker');
    await m.child('overtaker').result(release, 'Test', STATUS.Completed, 'Gradual');
    await becomes(release, 'overtaker', 'InProgress', 'Completed', 'InProgress');
    await m.child('overtaker').result(release, 'Canary', STATUS.Completed, 'Test');
    await becomes(release, 'overtaker', 'Completed', 'Completed', 'InProgress');
    expect((await m.child('overtaker').poll()).new_release).toBe('');
  });

  it('goes on after a Failure that names a stage, and ends after one that does not', async () => {
    const release = await running('failing');
    await m.child('failing').result(release, 'Canary', STATUS.Failure, 'Gradual');
    await becomes(release, 'failing', 'Failure', 'Pending', 'InProgress');
    expect((await m.operator.child(release, 'failing')).release_status).toBe('Doing');
    await m.child('failing').result(release, 'Gradual', STATUS.Error, '');
    await until('Failed', async () => (await m.operator.child(release, 'failing')).release_status === 'Failed');
    expect(await m.child('failing').endStage(release, 'Gradual')).toBe(true);
    expect(await m.child('failing').endStage(release, 'Test')).toBe(false);
  });
});

describe('POST /end_stage', () => {
  it('takes numbers for ids, and answers exactly end_stage', async () => {
    const release = await running('asker');
    const reply = await post(
      `${m.url}/end_stage`,
      `{"id": "asker", "strategy_id": ${release}, "stage_name": "Canary"}`,
    );
    expect([reply.status, reply.text]).toEqual([200, '{"end_stage":false}']);
  });

  it('is 404 in text for what does not exist', async () => {
    const release = await running('there');
    await m.child('elsewhere').poll();
    const endStage = (id: string, strategy_id: string, stage_name: string) =>
      post(`${m.url}/end_stage`, { id, strategy_id, stage_name });
    for (const reply of [
      await endStage('there', release, 'Nope'),
      await endStage('there', 'nope', 'Canary'),
      await endStage('nobody', release, 'Canary'),
      await endStage('elsewhere', release, 'Canary'),
    ]) {
      expect(reply.status).toBe(404);
      expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
    }
  });
});
