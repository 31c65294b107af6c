/** What a start would do, asked of a manager with a fleet; nothing is changed by it. And what happens, as events. */
import type { PreviewView } from '#wire/operator/responses.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChildClient } from '#test/harness/manager/child-client.ts';
import { insideRegion, regionName, regionSquares } from '#test/harness/plans/regions.ts';
import { type Manager, startManager, TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
/** Children by region: 3 in the first, 2 in the second, 1 in the third; and one in none. */
const SIZES = [3, 2, 1];

function inPlace(id: string, { longitude, latitude }: { longitude: number; latitude: number }): Promise<unknown> {
  const child: ChildClient = m.child(id);
  const [x, y, d] = [longitude, latitude, 0.01];
  const ring = [
    [x, y],
    [x + d, y],
    [x + d, y + d],
    [x, y],
  ];
  return child.poll({ geographic_area: { type: 'Polygon', coordinates: [ring] } });
}

beforeAll(async () => {
  m = await startManager(stack);
  for (const [i, size] of SIZES.entries()) for (let c = 0; c < size; c++) await inPlace(`r${i}-${c}`, insideRegion(i));
  await inPlace('nowhere', { longitude: -40, latitude: 0 });
  await until('all are known', async () => (await m.operator.fleet()).length === 7);
  await m.operator.publish('seen');
});
afterAll(() => stack.disposeAsync());

const preview = (id: string, body: object = {}) => m.operator.ok<PreviewView>('POST', `/releases/${id}/preview`, body);

describe('a preview', () => {
  it('names who gets it, in which wave, and when at the earliest', async () => {
    const before = await m.operator.show('seen');
    const view = await preview('seen', {
      plan: { name: 'waves', locations: { regions: regionSquares(4) }, wave_soak: '1m' },
    });
    expect(view).toMatchObject({
      faults: [],
      conflicts: [],
      children: { known: 7, silent: 0, outside: 1, untargeted: 0, enrolled: 6 },
      looked_at: 1,
      revert: null,
      locations: {
        count: 3,
        // The smallest first.
        first: [
          { id: regionName(2), wave: 1, children: 1 },
          { id: regionName(1), wave: 2, children: 2 },
          { id: regionName(0), wave: 2, children: 3 },
        ],
      },
      waves: {
        count: 2,
        first: [
          { wave: 1, locations: 1, children: 1, opens_after_seconds: expect.any(Number) as number },
          { wave: 2, locations: 2, children: 5 },
        ],
      },
    });
    const [first, second] = view.waves.first;
    // Three stages of 2 s, and a minute between waves.
    expect((second?.opens_after_seconds ?? 0) - (first?.opens_after_seconds ?? 0)).toBeGreaterThanOrEqual(66);
    expect(view.earliest_end_seconds).toBeGreaterThanOrEqual(72);
    expect(view.bytes.each).toBeGreaterThan(0);
    expect(view.bytes.all).toBe(6 * view.bytes.each);
    expect(await m.operator.show('seen')).toEqual(before);
  });

  it('of a share, of ids and of an area counts those that are left out', async () => {
    const [ids, area] = [
      await preview('seen', { plan: { target: { children: ['r0-0', 'r1-0', 'gone'] } } }),
      await preview('seen', {
        plan: {
          target: {
            within: {
              type: 'Polygon',
              coordinates: [
                [
                  [6, 47],
                  [7, 47],
                  [7, 48],
                  [6, 48],
                  [6, 47],
                ],
              ],
            },
          },
        },
      }),
    ];
    expect(ids.children).toMatchObject({ enrolled: 2, untargeted: 5 });
    expect(area.children).toMatchObject({ enrolled: 3, untargeted: 4 });
  });

  it('tells every fault at once, with its path, and what else is known', async () => {
    const view = await preview('seen', {
      plan: {
        locations: { regions: { type: 'FeatureCollection', features: [] } },
        advance: { quorum: 101 },
        rate: { per_minute: 0 },
        lost_after: '1s',
        surprise: true,
      },
    });
    expect(view.plan).toBeNull();
    expect(view.faults.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['plan.surprise', 'plan.advance.quorum', 'plan.rate.per_minute']),
    );
    const short = await preview('seen', { plan: { lost_after: '1s' } });
    expect(short.faults).toMatchObject([{ path: 'plan.lost_after' }]);
    const refused = await m.operator.problem('POST', '/releases/seen/start', { plan: { lost_after: '1s' } });
    expect(refused).toMatchObject({ status: 422, errors: [{ path: 'plan.lost_after' }] });
    expect((await m.operator.show('seen')).state).toBe('published');
  });

  it('names the releases that it would get in the way of, and what taking one back would come to', async () => {
    for (const id of ['first', 'second']) await m.operator.publish(id, 'shared');
    await m.operator.start('first', { target: { children: ['r0-0', 'r0-1'] } });
    await until('enrolled', async () => (await m.operator.show('first')).progress.children.Todo === 2);
    await m.child('r0-0').download('first');
    expect((await preview('second')).conflicts).toEqual([{ release: 'first', functions: ['shared'] }]);
    expect((await preview('second', { plan: { target: { children: ['r1-0'] } } })).conflicts).toEqual([]);
    expect((await preview('first')).revert).toEqual({ done: 0, held: 1, unreachable: 0 });
  });
});

describe('events', () => {
  it('tell what a release comes to, with why it waits, from what is there on', async () => {
    await m.operator.publish('told');
    const response = await fetch(`${m.url}/api/v1/events?release=told`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const seen: ReleaseView[] = [];
    let text = '';
    const read = async (isLast: (view: ReleaseView) => boolean): Promise<void> => {
      while (!seen.some(isLast)) {
        const { value, done } = (await reader?.read()) ?? { value: '', done: true };
        if (done) throw new Error('the stream ended');
        text += value;
        const events = text.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (data !== undefined) seen.push(JSON.parse(data) as ReleaseView);
        }
      }
    };
    await read(({ state }) => state === 'published');
    await m.operator.start('told', { target: { children: ['r2-0'] } });
    await read(({ waiting }) => waiting[0]?.for.startsWith('1 of 1 children') === true);
    await m.operator.abort('told');
    await read(({ state }) => state === 'aborted');
    for (const view of seen) expect(view.id).toBe('told');
    await reader?.cancel();
  });

  it('need the token, and a release that exists', async () => {
    expect((await fetch(`${m.url}/api/v1/events`)).status).toBe(401);
    expect((await m.operator.raw('GET', '/events?release=nope')).status).toBe(404);
  });
});
