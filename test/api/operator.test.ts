/** The operator API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sieveYml, sieveZip } from '#test/harness/plans/release-files.ts';
import { type Manager, startManager, TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
beforeAll(async () => {
  m = await startManager(stack, { BUNDLE_LIMIT: '64kb' });
});
afterAll(() => stack.disposeAsync());

describe('publishing', () => {
  it('is 201, then 200 for the same bytes, then 409 for others', async () => {
    const form = async (yml = sieveYml('1.0')) => m.operator.form(yml, await sieveZip());
    const first = await m.operator.raw('POST', '/releases', await form());
    expect([first.status, JSON.parse(first.text), first.headers.get('location')]).toEqual([
      201,
      { id: '1.0', warnings: [] },
      '/api/v1/releases/1.0',
    ]);
    expect((await m.operator.raw('POST', '/releases', await form())).status).toBe(200);
    const other = await m.operator.problem('POST', '/releases', await form(`${sieveYml('1.0')}# changed\n`));
    expect(other).toMatchObject({ status: 409, type: 'urn:umbilical-choir:problem:release-exists' });
  });

  it('reports all faults at once, with where they are', async () => {
    const bad = sieveYml('bad')
      .replace('onSuccess: Test', 'onSuccess: Canary')
      .replace('trafficPercentage: 10', 'trafficPercentage: 20');
    const problem = await m.operator.problem('POST', '/releases', m.operator.form(bad, Buffer.from('no zip')));
    expect(problem.status).toBe(422);
    expect(problem.errors?.map(({ path }) => path)).toEqual([
      'stages[0].variants',
      'stages[0].end_action.onSuccess',
      'fns.zip',
    ]);
    expect((await m.operator.raw('GET', '/releases/bad')).status).toBe(404);
  });

  it('refuses a body that is none, too large, or lacks a part', async () => {
    expect((await m.operator.problem('POST', '/releases', {})).status).toBe(415);
    const half = new FormData();
    half.set('release', new Blob(['id: 1']), 'release.yml');
    expect(await m.operator.problem('POST', '/releases', half)).toMatchObject({
      status: 400,
      detail: expect.stringContaining('"functions" is missing') as string,
    });
    const huge = m.operator.form(sieveYml('huge'), Buffer.alloc(70 * 1024));
    expect(await m.operator.problem('POST', '/releases', huge)).toMatchObject({ status: 413 });
  });

  it('gives warnings for what agents will not do', async () => {
    const yml = sieveYml('warned').replace('onSuccess: Test', 'onSuccess: Gradual');
    const { warnings } = await m.operator.ok<{ warnings: { path: string }[] }>(
      'POST',
      '/releases',
      m.operator.form(yml, await sieveZip()),
    );
    expect(warnings.map(({ path }) => path)).toEqual(['stages[0].end_action.onSuccess']);
  });
});

describe('a release', () => {
  it('reads as documented', async () => {
    await m.operator.publish('doc');
    for (const id of ['d1', 'd2', 'd3']) await m.child(id).poll();
    await until(
      'all joined',
      async () => (await m.operator.ok<{ items: unknown[] }>('GET', '/children')).items.length >= 3,
    );
    expect(await m.operator.show('doc')).toMatchObject({
      state: 'published',
      reason: null,
      version: 1,
      started_at: null,
      waiting: [],
    });
    await m.operator.start('doc');
    await until('enrolled', async () => (await m.operator.show('doc')).progress.children.Todo === 3);
    for (const id of ['d1', 'd2', 'd3']) await m.child(id).download('doc');
    await m.child('d1').result('doc', 'Canary', 2, 'Test');
    await m.child('d2').result('doc', 'Canary', 2, 'Test');
    const view = await until('two wait', async () => {
      const shown = await m.operator.show('doc');
      return shown.progress.locations[0]?.stages[0]?.SuccessWaiting === 2 && shown;
    });
    expect(view).toMatchObject({
      id: 'doc',
      name: 'ReleaseSieveFunction',
      state: 'running',
      reason: null,
      plan: { name: 'global-incremental' },
      progress: {
        children: { Todo: 0, Doing: 3, Done: 0, Failed: 0 },
        not_enrolled: { silent: 0 },
        locations: [
          {
            id: 'all',
            children: 3,
            stages: [
              { name: 'Canary', gate: 'closed', InProgress: 1, SuccessWaiting: 2 },
              { name: 'Test' },
              { name: 'Gradual' },
            ],
          },
        ],
      },
      waiting: [
        {
          location: 'all',
          stage: 'Canary',
          for: '1 of 3 children',
          children: ['d3'],
          details: [{ id: 'd3', left_release: false }],
        },
      ],
    });
    expect(view.progress.locations[0]?.stages[0]?.metrics.f2_response_ms.p50).toBeCloseTo(8.2, 0);
    const { items } = await m.operator.children('doc');
    expect(items.map(({ id }) => id).sort()).toEqual(['d1', 'd2', 'd3']);
    const one = await m.operator.ok<{ items: unknown[]; next: string | null }>('GET', '/releases/doc/children?limit=1');
    expect(one.items).toHaveLength(1);
    expect(one.next).not.toBeNull();
    expect((await m.operator.ok<{ items: unknown[] }>('GET', '/releases/doc/children?status=Failed')).items).toEqual(
      [],
    );
    expect(await m.operator.child('doc', 'd3')).toEqual({
      id: 'd3',
      release_status: 'Doing',
      location: 'all',
      attempt: 1,
      left_release: false,
      lost: false,
      overdue: false,
      ejected: false,
      late_joiner: false,
      waits_for: 'its own result of stage "Canary"',
      stages: [
        { name: 'Canary', type: 'WaitForSignal', status: 'InProgress', summary: null },
        { name: 'Test', type: 'A/B', status: 'Pending', summary: null },
        { name: 'Gradual', type: 'WaitForSignal', status: 'Pending', summary: null },
      ],
    });
  });

  it('is started once; starting it again the same way is no error, another way is 409', async () => {
    await m.operator.publish('again');
    const first = await m.operator.start('again');
    const second = await m.operator.start('again');
    expect([first.state, second.state, second.started_at]).toEqual(['running', 'running', first.started_at]);
    expect(await m.operator.problem('POST', '/releases/again/start', { plan: 'location-sequential' })).toMatchObject({
      status: 409,
    });
    expect((await m.operator.abort('again')).state).toBe('aborted');
    expect((await m.operator.abort('again')).state).toBe('aborted');
    expect(await m.operator.problem('POST', '/releases/again/start', {})).toMatchObject({
      status: 409,
      type: 'urn:umbilical-choir:problem:wrong-state',
    });
  });

  it('takes the plan of its file, which a start may override', async () => {
    const publish = async (id: string) =>
      m.operator.ok('POST', '/releases', m.operator.form(sieveYml(id, 'plan: location-sequential'), await sieveZip()));
    await publish('planned');
    await publish('overridden');
    expect((await m.operator.start('planned')).plan.name).toBe('location-sequential');
    expect((await m.operator.start('overridden', 'global-incremental')).plan.name).toBe('global-incremental');
    const bad = sieveYml('unplanned', 'plan: everywhere')
      .replace('name: Canary', 'name: [x]')
      .replace('sample_f1', 'none');
    const { errors } = await m.operator.problem('POST', '/releases', m.operator.form(bad, await sieveZip()));
    expect(errors?.map(({ path, message }) => `${path} ${message.replace(/^.*(?=\(line)/, '')}`)).toEqual([
      'stages[0].name (line 9)',
      'plan (line 49)',
      'functions[0].base_version.path (line 6)',
    ]);
  });

  it('lists page by page', async () => {
    const all: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: { items: { id: string }[]; next: string | null } = await m.operator.ok(
        'GET',
        `/releases?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      all.push(...page.items.map(({ id }) => id));
      cursor = page.next;
    }
    expect(all).toContain('doc');
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('errors', () => {
  it.each<[string, string, unknown, number]>([
    ['GET', '/releases/nope', undefined, 404],
    ['POST', '/releases/nope/start', {}, 404],
    ['POST', '/releases/doc/start', { plan: 'sideways' }, 422],
    ['POST', '/releases/doc/start', { plan: 'global-incremental', typo: 1 }, 400],
    ['POST', '/releases/doc/start', '{', 400],
    ['GET', '/releases?limit=0', undefined, 400],
    ['GET', '/releases?limit=1001', undefined, 400],
    ['GET', '/children?cursor=xyz', undefined, 400],
    ['GET', '/releases/doc/children/nobody', undefined, 404],
    ['GET', '/releases/doc/children?status=Nope', undefined, 400],
    ['GET', '/children/nobody', undefined, 404],
    ['PUT', '/releases', {}, 405],
    ['GET', '/nothing', undefined, 404],
  ])('%s %s with %j is %d, as a problem', async (method, path, body, status) => {
    const reply = await m.operator.raw(method, path, body as object);
    expect(reply.status).toBe(status);
    expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(JSON.parse(reply.text)).toMatchObject({
      status,
      title: expect.any(String) as string,
      detail: expect.any(String) as string,
    });
  });

  it('give the new name of a key that has another one now', async () => {
    expect(await m.operator.problem('POST', '/releases/doc/revert', { release_held: true })).toMatchObject({
      status: 400,
      detail: 'the body: release_held: is called open_gates now',
      errors: [{ path: 'release_held', message: 'is called open_gates now' }],
    });
    expect(await m.operator.problem('POST', '/releases/doc/start', { plan: { release_held: true } })).toMatchObject({
      status: 422,
      errors: [{ path: 'plan.release_held', message: 'is called open_gates_on_revert now' }],
    });
  });

  it('asks for the token', async () => {
    for (const authorization of ['', 'Bearer wrong', `Basic ${TOKEN}`]) {
      const reply = await m.operator.raw('GET', '/releases', undefined, { authorization });
      expect([reply.status, reply.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    }
  });
});

describe('the fleet', () => {
  it('keeps a child that takes part or was seen lately', async () => {
    expect(await m.operator.problem('DELETE', '/children/d1')).toMatchObject({ status: 409 });
    await m.child('idle').poll();
    await until('known', async () => (await m.operator.raw('GET', '/children/idle')).status === 200);
    expect(await m.operator.problem('DELETE', '/children/idle')).toMatchObject({
      status: 409,
      detail: expect.stringContaining('5 minutes') as string,
    });
    expect(await m.operator.problem('DELETE', '/children/nobody')).toMatchObject({ status: 404 });
  });
});

describe('open endpoints', () => {
  it('are live, ready, measured and described', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) expect((await fetch(m.url + path)).status).toBe(200);
    expect(await (await fetch(`${m.url}/metrics`)).text()).toContain('choir_requests_total');
    const document = (await (await fetch(`${m.url}/openapi.json`)).json()) as {
      openapi: string;
      paths: Record<string, unknown>;
    };
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths)).toContain('/api/v1/releases/{id}/start');
  });
});
