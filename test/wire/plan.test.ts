import { PRESET_NAMES, PRESETS } from '#domain/plan/presets.ts';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import { type Plan } from '#domain/plan/plan.ts';
import { faultlessPlan } from '#test/harness/plans/arbitrary-plans.ts';
import { sieveYml } from '#test/harness/plans/release-files.ts';
import {
  abortRequest,
  ejectRequest,
  pauseRequest,
  previewRequest,
  promoteRequest,
  resumeRequest,
  retryRequest,
  revertRequest,
  skipRequest,
  startRequest,
} from '#wire/operator/requests.ts';
import { readPlan } from '#wire/plan/read-plan.ts';
import { planKeys } from '#wire/plan/plan-keys.ts';
import { planView } from '#wire/plan/plan-view.ts';
import { readReleaseFile } from '#wire/release/release-file.ts';
import { readReleaseYaml } from '#wire/release/release-yaml.ts';
import { renamedKey } from '#wire/renamed.ts';

const BASE: Plan = PRESETS['global-incremental'];
const CUSTOM: Plan = { ...BASE, name: 'custom' };

const faultsOf = (input: unknown) => readPlan(input).faults.map(({ path, message }) => `${path} ${message}`);
const pathsOf = (input: unknown) => readPlan(input).faults.map(({ path }) => path);
const planOf = (input: unknown): Plan => {
  const { plan, faults } = readPlan(input);
  expect(faults).toEqual([]);
  return plan as Plan;
};

/** As release.yml gives it: every scalar is text. */
const asText = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(asText);
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.fromEntries(Object.entries(value).map(([key, content]) => [key, asText(content)]));
};

const ring = (x: number, y: number): [number, number][] => [
  [x, y],
  [x + 1, y],
  [x + 1, y + 1],
  [x, y],
];
const POLYGON = { type: 'Polygon' as const, coordinates: [ring(13, 52)] };
const MULTI = { type: 'MultiPolygon' as const, coordinates: [[ring(1, 2)], [ring(3, 4)]] };
const regionsOf = (...features: object[]) => ({ regions: { type: 'FeatureCollection', features } });
const BERLIN = { type: 'Feature', properties: { name: 'Berlin', people: 3_700_000 }, geometry: POLYGON };
const ISLANDS = { type: 'Feature', id: 7, properties: null, geometry: MULTI, bbox: [1, 2, 4, 5] };

describe('a plan', () => {
  it('is a preset by its name', () => {
    for (const name of PRESET_NAMES) expect(planOf(name)).toBe(PRESETS[name]);
  });

  it('is the same preset by its name alone in a mapping, and in its long form', () => {
    for (const name of PRESET_NAMES) {
      expect(planOf({ name })).toEqual(PRESETS[name]);
      const { name: _, ...long } = planView(PRESETS[name]);
      expect(planOf(long)).toEqual({ ...PRESETS[name], name: 'custom' });
      expect(planOf(asText(long))).toEqual({ ...PRESETS[name], name: 'custom' });
    }
  });

  it('is global-incremental, by another name, where nothing is given', () => {
    expect(planOf({})).toEqual(CUSTOM);
    expect(planOf({ name: 'custom', advance: {}, failure: {}, rate: {} })).toEqual(CUSTOM);
  });

  it('takes every key', () => {
    const plan = planOf({
      target: { within: MULTI },
      locations: { ...regionsOf(BERLIN, ISLANDS), outside: 'own' },
      order: { distance_from: [13.4, 52.5] },
      waves: { percent: [10, 50, 100] },
      wave_soak: '10m',
      stages: 'own-pace',
      advance: {
        quorum: 90,
        min_children: 5,
        soak: '1m30s',
        metrics: { share: 95 },
        approval: { stages: ['Canary'], waves: true },
      },
      failure: { location: { count: 3, share: 10, then: 'revert' }, all: { share: 5 } },
      lost_after: '10m',
      stage_deadline: { after: '2h', then: 'fail' },
      late_joiners: 'join',
      rate: {
        per_minute: 100,
        growth: { factor: 2, every: 50, up_to: 10_000 },
        at_once: 500,
        bytes_per_second: 1e6,
        per_location: { per_minute: 10 },
      },
      priority: -5,
      conflicts: 'allow',
      open_gates_on_revert: true,
    });
    expect(plan).toEqual({
      name: 'custom',
      target: { kind: 'within', area: MULTI },
      locations: {
        by: 'regions',
        outside: 'own',
        regions: [
          { name: 'Berlin', area: POLYGON },
          { name: '7', area: MULTI },
        ],
      },
      order: { by: 'distance', from: [13.4, 52.5] },
      waves: { kind: 'shares', shares: [0.1, 0.5, 1] },
      waveSoakMs: 600_000,
      stages: 'own-pace',
      advance: {
        quorum: 0.9,
        minChildren: 5,
        soakMs: 90_000,
        metrics: { judge: 'share', share: 0.95 },
        approval: { stages: ['Canary'], waves: true },
      },
      failure: { location: { count: 3, share: 0.1, then: 'revert' }, all: { count: 0, share: 0.05, then: 'hold' } },
      lostAfterMs: 600_000,
      deadline: { afterMs: 7_200_000, then: 'fail' },
      lateJoiners: 'join',
      rate: {
        all: {
          perMinute: 100,
          growth: { factor: 2, every: 50, upTo: 10_000 },
          atOnce: 500,
          bytesPerSecond: 1_000_000,
        },
        location: { perMinute: 10, growth: null, atOnce: null, bytesPerSecond: null },
      },
      priority: -5,
      conflicts: 'allow',
      openGatesOnRevert: true,
      compensates: null,
    } satisfies Plan);
    expect(planView(plan)['locations']).toEqual({ regions: 2, outside: 'own' });
  });

  it.each<[object, Partial<Plan>]>([
    [{ target: 'everyone' }, { target: { kind: 'everyone' } }],
    [{ target: { intersects: POLYGON } }, { target: { kind: 'intersects', area: POLYGON } }],
    [{ target: { children: ['a', 21] } }, { target: { kind: 'children', ids: ['a', '21'] } }],
    [{ target: { percent: 10 } }, { target: { kind: 'share', share: 0.1, seed: '' } }],
    [{ target: { percent: 0.5, seed: 7 } }, { target: { kind: 'share', share: 0.005, seed: '7' } }],
    [{ locations: 'child' }, { locations: { by: 'child' } }],
    [{ locations: { grid_km: 25 } }, { locations: { by: 'grid', cellKm: 25 } }],
    [
      { locations: regionsOf(BERLIN) },
      { locations: { by: 'regions', outside: 'refuse', regions: [{ name: 'Berlin', area: POLYGON }] } },
    ],
    [{ order: 'size' }, { order: { by: 'size' } }],
    [{ order: { shuffle: 'x' } }, { order: { by: 'shuffled', seed: 'x' } }],
    [{ waves: 3 }, { waves: { kind: 'fixed', size: 3 } }],
    [{ waves: 'doubling' }, { waves: { kind: 'doubling' } }],
    [{ waves: 'all' }, { waves: { kind: 'shares', shares: [1] } }],
    [{ waves: { percent: [100] } }, { waves: { kind: 'shares', shares: [1] } }],
    [{ wave_soak: 0 }, { waveSoakMs: 0 }],
    [{ wave_soak: '1.5s' }, { waveSoakMs: 1500 }],
    [{ lost_after: 'never', stage_deadline: 'never' }, {}],
    [{ stage_deadline: { after: '90s' } }, { deadline: { afterMs: 90_000, then: 'hold' } }],
    [{ advance: { metrics: 'worst' } }, { advance: { ...BASE.advance, metrics: { judge: 'worst' } } }],
    [{ advance: { metrics: 'none' } }, {}],
    [
      { advance: { approval: { stages: 'all' } } },
      { advance: { ...BASE.advance, approval: { stages: 'all', waves: false } } },
    ],
    [
      { failure: { all: { then: 'abort' } } },
      { failure: { location: null, all: { count: 0, share: 0, then: 'abort' } } },
    ],
  ])('reads %j', (given, meant) => {
    expect(planOf(given)).toEqual({ ...CUSTOM, ...meant });
    expect(planOf(asText(given))).toEqual({ ...CUSTOM, ...meant });
  });

  it('changes a preset key by key', () => {
    const { waves } = PRESETS;
    expect(planOf({ name: 'waves', advance: { quorum: 90 }, failure: { location: { share: 10 } } })).toEqual({
      ...waves,
      advance: { ...waves.advance, quorum: 0.9 },
      failure: { location: { count: 0, share: 0.1, then: 'hold' }, all: null },
    });
    expect(
      planOf({ name: 'waves', locations: 'all', order: 'joining', failure: { location: 'none', all: {} } }),
    ).toMatchObject({ failure: { location: null, all: { count: 0, share: 0, then: 'hold' } } });
  });

  it.each(readdirSync('examples/plans'))('has no fault in examples/plans/%s', (file) => {
    const bytes = readFileSync(`examples/plans/${file}`);
    const yaml = readReleaseYaml(bytes);
    expect('content' in yaml).toBe(true);
    const plan = planOf('content' in yaml ? yaml.content : null);
    expect(planOf(parse(bytes.toString()))).toEqual(plan);
    const inFile = sieveYml('1', `plan:\n  ${bytes.toString().replaceAll('\n', '\n  ')}`);
    expect(readReleaseFile(Buffer.from(inFile))).toMatchObject({ faults: [], file: { plan } });
  });
});

describe('docs/plans.md', () => {
  const blocks = [...readFileSync('docs/plans.md', 'utf8').matchAll(/```yaml\n([^`]*)```/g)].map(([, yaml]) =>
    Buffer.from(yaml ?? ''),
  );
  const contentOf = (block: Buffer): Record<string, unknown> => {
    const yaml = readReleaseYaml(block);
    expect('faults' in yaml ? yaml.faults : []).toEqual([]);
    return 'content' in yaml ? (yaml.content as Record<string, unknown>) : {};
  };

  it('shows plans without faults, and each preset in its long form', () => {
    const contents = blocks.map(contentOf);
    for (const content of contents) planOf(content['plan'] ?? content);
    for (const name of PRESET_NAMES) expect(contents).toContainEqual(asText(planView(PRESETS[name])));
  });

  it('has a row for each key', () => {
    const rows = [...readFileSync('docs/plans.md', 'utf8').matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, key]) => key);
    expect(rows).toEqual(expect.arrayContaining(['advance.quorum', 'failure.all', 'rate.per_minute']));
    const { shape } = planKeys;
    const plain = Object.keys(shape).filter((key) => !['advance', 'failure', 'rate'].includes(key));
    expect(rows.filter((key) => !key?.includes('.'))).toEqual(plain);
  });
});

describe('a plan with faults', () => {
  const PRESETS_ARE = `is one of ${PRESET_NAMES.join(', ')}`;
  const growth = { factor: 2, every: 50, up_to: 1000 };

  it.each<[unknown, string[]]>([
    ['everywhere', [` ${PRESETS_ARE}, not "everywhere"`]],
    ['custom', [` ${PRESETS_ARE}, not "custom"`]],
    [undefined, [' is the name of a preset, or a mapping']],
    [null, [' is the name of a preset, or a mapping']],
    [7, [' is the name of a preset, or a mapping']],
    [['waves'], [' is the name of a preset, or a mapping']],
    [{ name: 'x' }, [`name ${PRESETS_ARE}, not "x"`]],
    [{ name: 7 }, [`name ${PRESETS_ARE}`]],
    [
      { wave_soka: '1m' },
      [
        'wave_soka is no key here: there are name, target, locations, order, waves, wave_soak, stages, advance, failure, lost_after, stage_deadline, late_joiners, rate, priority, conflicts, open_gates_on_revert',
      ],
    ],
    [
      { target: 'nobody' },
      ['target is everyone, or a mapping with one of intersects, within, children and percent, not "nobody"'],
    ],
    [
      { target: { children: ['a'], percent: 1 } },
      ['target is everyone, or a mapping with one of intersects, within, children and percent'],
    ],
    [
      { target: { intersects: { type: 'Point', coordinates: [1, 2] } } },
      ['target.intersects.type is a GeoJSON Polygon or MultiPolygon'],
    ],
    [{ target: { within: 7 } }, ['target.within is a GeoJSON Polygon or MultiPolygon']],
    [{ target: { within: { type: 'Polygon' } } }, ['target.within.coordinates is missing']],
    [
      { target: { within: { ...POLYGON, coordinates: [[[1, 'x'], [1]]] } } },
      ['target.within.coordinates[0][0][1] is no number of degrees', 'target.within.coordinates[0][1][1] is missing'],
    ],
    [
      { target: { children: ['a', '/', {}] } },
      [
        'target.children[1] is 1 to 128 of A-Z a-z 0-9 . _ : -',
        'target.children[2] is 1 to 128 of A-Z a-z 0-9 . _ : -',
      ],
    ],
    [{ target: { children: [] } }, ['target.children names nobody']],
    [{ target: { percent: 101 } }, ['target.percent is a share from 0 to 100']],
    [{ target: { percent: 0 } }, ['target.percent is above 0 and at most 100: otherwise nobody gets the release']],
    [{ target: { percent: 10, sead: 'x' } }, ['target.sead is no key here: there are percent, seed']],
    [{ locations: 'cities' }, ['locations is all, child, or a mapping with one of regions and grid_km, not "cities"']],
    [{ locations: { grid_km: 'wide' } }, ['locations.grid_km is a number of kilometres']],
    [{ locations: { ...regionsOf(BERLIN), outside: 'ignore' } }, ['locations.outside is refuse or own, not "ignore"']],
    [{ locations: { regions: 'regions.json' } }, ['locations.regions is no GeoJSON FeatureCollection']],
    [{ locations: { regions: {} } }, ['locations.regions.type is missing', 'locations.regions.features is missing']],
    [{ locations: regionsOf() }, ['locations.regions.features holds no region']],
    [
      {
        locations: regionsOf(
          { type: 'Feature' },
          { ...BERLIN, geometry: null },
          { ...BERLIN, properties: { name: '' } },
        ),
      },
      [
        'locations.regions.features[0].geometry is missing',
        'locations.regions.features[0] has no name: give it properties.name, or an id',
        'locations.regions.features[1].geometry is a GeoJSON Polygon or MultiPolygon',
        'locations.regions.features[2].properties.name is no name',
      ],
    ],
    [
      { locations: regionsOf({ ...BERLIN, properties: {} }) },
      ['locations.regions.features[0] has no name: give it properties.name, or an id'],
    ],
    [
      { locations: regionsOf({ ...BERLIN, type: 'feature' }, 7 as never) },
      ['locations.regions.features[0].type is "Feature"', 'locations.regions.features[1] is no GeoJSON Feature'],
    ],
    [
      { order: 'random' },
      ['order is joining, size, listed, or a mapping with one of distance_from and shuffle, not "random"'],
    ],
    [{ order: { distance_from: [1, 2, 3] } }, ['order.distance_from is no position [longitude, latitude]']],
    [{ order: { distance_from: ['x', 2] } }, ['order.distance_from[0] is no number of degrees']],
    [{ order: { shuffle: 'x'.repeat(129) } }, ['order.shuffle is a text of at most 128 characters']],
    [{ order: 'listed' }, ['order "listed" needs a list: regions in locations, or children in target']],
    [{ waves: 0 }, ['waves is a whole number from 1 to 1000000, doubling, all, or a mapping with percent']],
    [{ waves: 1_000_001 }, ['waves is a whole number from 1 to 1000000, doubling, all, or a mapping with percent']],
    [{ waves: 1.5 }, ['waves is a whole number from 1 to 1000000, doubling, all, or a mapping with percent']],
    [
      { waves: 'some' },
      ['waves is a whole number from 1 to 1000000, doubling, all, or a mapping with percent, not "some"'],
    ],
    [{ waves: { percent: [10, 101] } }, ['waves.percent[1] is a share from 0 to 100']],
    [{ waves: { percent: 10 } }, ['waves.percent is no list of shares']],
    [
      { waves: { percent: [50, 10, 90] } },
      [
        'waves.percent[1] is above 0, above the one before it, and at most 100',
        'waves.percent ends with 100: otherwise some never get the release',
      ],
    ],
    [{ wave_soak: 'a while' }, ['wave_soak is no duration such as 10s or 1h30m']],
    [{ wave_soak: '-1s' }, ['wave_soak is no duration such as 10s or 1h30m']],
    [{ wave_soak: 10 }, ['wave_soak is no duration such as 10s or 1h30m']],
    [{ stages: 'parallel' }, ['stages is lockstep or own-pace, not "parallel"']],
    [{ advance: 'soon' }, ['advance is no mapping']],
    [{ advance: { quorum: 101 } }, ['advance.quorum is a share from 0 to 100']],
    [{ advance: { quorum: '90%' } }, ['advance.quorum is a share from 0 to 100']],
    [{ advance: { quorum: 0 } }, ['advance.quorum is above 0 and at most 100']],
    [
      { advance: { quorom: 90 } },
      ['advance.quorom is no key here: there are quorum, min_children, soak, metrics, approval'],
    ],
    [{ advance: { min_children: 0 } }, ['advance.min_children is a whole number, at least 1']],
    [{ advance: { soak: true } }, ['advance.soak is no duration such as 10s or 1h30m']],
    [{ advance: { metrics: 'best' } }, ['advance.metrics is worst, median, none, or a mapping with share, not "best"']],
    [{ advance: { metrics: { share: 200 } } }, ['advance.metrics.share is a share from 0 to 100']],
    [{ advance: { approval: 'all' } }, ['advance.approval is no mapping']],
    [
      { advance: { approval: { stages: 'Canary' } } },
      ['advance.approval.stages is all, or a list of stages, not "Canary"'],
    ],
    [{ advance: { approval: { stages: ['Canary', ''] } } }, ['advance.approval.stages[1] is no name of a stage']],
    [{ advance: { approval: { waves: 'yes' } } }, ['advance.approval.waves is true or false']],
    [{ failure: 'none' }, ['failure is no mapping']],
    [{ failure: { all: 3 } }, ['failure.all is none, or a mapping with count, share and then']],
    [{ failure: { all: { count: 1.5 } } }, ['failure.all.count is a whole number of children, at least 0']],
    [{ failure: { all: { share: -1 } } }, ['failure.all.share is a share from 0 to 100']],
    [{ failure: { all: { then: 'panic' } } }, ['failure.all.then is hold, abort or revert, not "panic"']],
    [{ failure: { all: { cuont: 3 } } }, ['failure.all.cuont is no key here: there are count, share, then']],
    [{ failure: { all: 'none' } }, ['failure sets no limit: give all, or location, a budget']],
    [{ failure: { location: {} } }, ['failure.location there is one location: use failure.all']],
    [{ locations: 'child', failure: { location: {} } }, ['failure.location each child is a location: use failure.all']],
    [
      { failure: { all: { share: 10 } } },
      ["advance.quorum 100 can't be reached once the budget of failure.all is used: at most 90"],
    ],
    [
      { failure: { all: { count: 2 } } },
      ["advance.quorum 100 can't be reached once the budget of failure.all is used: failed children stay in the count"],
    ],
    [{ lost_after: 'soon' }, ['lost_after is a duration such as 10m, or never, not "soon"']],
    [{ lost_after: '0s' }, ['lost_after is above 0: otherwise everyone is lost at once']],
    [{ stage_deadline: '2h' }, ['stage_deadline is never, or a mapping with after and then, not "2h"']],
    [{ stage_deadline: { after: '2h', then: 'abort' } }, ['stage_deadline.then is fail or hold, not "abort"']],
    [{ stage_deadline: { after: '0s' } }, ['stage_deadline.after is above 0: otherwise everyone is overdue at once']],
    [{ late_joiners: 'wait' }, ['late_joiners is none or join, not "wait"']],
    [{ rate: 100 }, ['rate is no mapping']],
    [{ rate: { per_minute: 'fast' } }, ['rate.per_minute is a number of children a minute']],
    [{ rate: { per_minute: 0 } }, ['rate.per_minute is above 0: otherwise nobody gets the release']],
    [{ rate: { at_once: 0 } }, ['rate.at_once is above 0: otherwise nobody gets the release']],
    [{ rate: { at_once: 2.5 } }, ['rate.at_once is a whole number of children']],
    [{ rate: { bytes_per_second: 0 } }, ['rate.bytes_per_second is above 0: otherwise nobody gets the release']],
    [{ rate: { growth } }, ['rate.growth needs rate.per_minute to grow from']],
    [
      { rate: { per_minute: 10, growth: { factor: 2 } } },
      ['rate.growth.every is missing', 'rate.growth.up_to is missing'],
    ],
    [
      { rate: { per_minute: 10, growth: { ...growth, factor: 1 } } },
      ['rate.growth.factor is above 1: otherwise nothing grows'],
    ],
    [
      { rate: { per_minute: 10, growth: { ...growth, up_to: 5 } } },
      ['rate.growth.up_to is below per_minute, 10: it grows from there'],
    ],
    [
      { rate: { per_location: { at_onec: 1 } } },
      ['rate.per_location.at_onec is no key here: there are per_minute, growth, at_once, bytes_per_second'],
    ],
    [
      { rate: { per_location: { per_location: {} } } },
      ['rate.per_location.per_location is no key here: there are per_minute, growth, at_once, bytes_per_second'],
    ],
    [{ priority: 1001 }, ['priority is a whole number from -1000 to 1000']],
    [{ priority: 0.5 }, ['priority is a whole number from -1000 to 1000']],
    [{ conflicts: 'ignore' }, ['conflicts is refuse or allow, not "ignore"']],
    [{ open_gates_on_revert: 'yes' }, ['open_gates_on_revert is true or false']],
    [{ release_held: true }, ['release_held is called open_gates_on_revert now']],
    [
      { name: 'all-at-once', advance: { soak: '5m' } },
      ['advance.soak each child is a location of its own and goes at its own pace: there is nothing to soak together'],
    ],
    [
      JSON.parse('{"__proto__": {"waves": 0}, "advance": {"constructor": 1}}'),
      ['advance.constructor', '__proto__'].map((path) => expect.stringContaining(`${path} is no key here`) as string),
    ],
  ])('says so: %j', (given, faults) => {
    expect(faultsOf(given)).toEqual(faults);
    expect(readPlan(given).plan).toBeNull();
  });

  it('says all faults at once, of shape and of what goes together', () => {
    expect(
      pathsOf({
        tarket: 'everyone',
        locations: { grid_km: 'x' },
        order: 'listed',
        waves: { percent: [50] },
        advance: { quorum: 0, soak: 'x' },
        failure: { location: 'none', all: 'none' },
        rate: {
          per_minute: 0,
          growth: { factor: 1, every: 5, up_to: 7 },
          per_location: { at_once: 'x', per_minute: 0 },
        },
      }),
    ).toEqual([
      'locations.grid_km',
      'advance.soak',
      'rate.per_location.at_once',
      'tarket',
      'waves.percent',
      'advance.quorum',
      'failure',
      'rate.per_minute',
      'rate.growth.factor',
      'rate.per_location.per_minute',
    ]);
  });

  it('says nothing that only follows from another fault', () => {
    expect(pathsOf({ locations: 'regoins', order: 'listed', failure: { location: {} } })).toEqual(['locations']);
    expect(pathsOf({ failure: { location: 'none', all: { share: 'x' } } })).toEqual(['failure.all.share']);
    expect(pathsOf({ advance: { quorum: 'x' }, failure: { all: { share: 10 } } })).toEqual(['advance.quorum']);
    expect(pathsOf({ rate: { per_minute: 'x', growth } })).toEqual(['rate.per_minute']);
  });

  it('takes nothing for the preset’s where its name is wrong', () => {
    expect(
      pathsOf({ name: 'wafes', failure: { location: {} }, advance: { quorum: 0 }, waves: { percent: [10] } }),
    ).toEqual(['name', 'waves.percent', 'advance.quorum']);
  });

  it('may be asked for more', () => {
    const also = ({ priority }: Plan) => (priority === 0 ? [] : [{ path: 'priority', message: 'is taken' }]);
    expect(readPlan('waves', also).plan).toBe(PRESETS.waves);
    expect(readPlan({ priority: 1, lost_after: '0s' }, also)).toEqual({
      plan: null,
      faults: [
        { path: 'lost_after', message: expect.any(String) },
        { path: 'priority', message: 'is taken' },
      ],
    });
    expect(readPlan({ priority: 1, foo: 1 }, also).faults.map(({ path }) => path)).toEqual(['foo', 'priority']);
  });
});

describe('the long form of a plan', () => {
  it('reads as the plan itself, as JSON and as text', () => {
    fc.assert(
      fc.property(faultlessPlan, (plan) => {
        const view = planView(plan);
        expect(readPlan(JSON.parse(JSON.stringify(view)))).toEqual({ plan, faults: [] });
        expect(readPlan(asText(view))).toEqual({ plan, faults: [] });
      }),
    );
  });

  it('shows what a compensating release does', () => {
    const target = { kind: 'done', release: '21', location: 'Berlin' } as const;
    expect(planView({ ...BASE, target, compensates: '21' })).toMatchObject({
      target: { done: '21', location: 'Berlin' },
      compensates: '21',
    });
  });
});

describe('whatever is given as a plan', () => {
  const KEYS = Object.keys(planView(BASE));
  const INNER = [
    'quorum',
    'metrics',
    'approval',
    'location',
    'all',
    'share',
    'percent',
    'regions',
    'grid_km',
    'growth',
  ];
  const junk = fc.oneof(
    fc.anything(),
    fc.dictionary(fc.constantFrom(...KEYS, 'rate'), fc.anything()),
    fc.dictionary(
      fc.constantFrom(...KEYS, 'rate'),
      fc.dictionary(fc.constantFrom(...INNER, 'per_location'), fc.anything()),
    ),
  );

  it('has faults or is a plan, and never throws', () => {
    fc.assert(
      fc.property(junk, (given) => {
        const { plan, faults } = readPlan(given);
        expect(plan === null).toBe(faults.length > 0);
        for (const { path, message } of faults) expect([typeof path, message.length > 0]).toEqual(['string', true]);
      }),
      { numRuns: 500 },
    );
  });

  it('is refused for one key that is none', () => {
    fc.assert(
      fc.property(faultlessPlan, fc.constantFrom('', 'advance', 'failure', 'rate'), (plan, where) => {
        const view: Record<string, unknown> = { rate: {}, ...planView(plan) };
        const given =
          where === '' ? { ...view, extra: 1 } : { ...view, [where]: { ...(view[where] as object), extra: 1 } };
        expect(pathsOf(given)).toEqual([where === '' ? 'extra' : `${where}.extra`]);
      }),
    );
  });
});

describe('requests of operators', () => {
  it('hold a plan as it was given, whatever is wrong with it', () => {
    expect(startRequest.parse({})).toEqual({});
    expect(startRequest.parse({ plan: 'waves', version: 3 })).toEqual({ plan: 'waves', version: 3 });
    const plan = { wave_soak: '5m', advance: { quorum: 'x' }, foo: [null] };
    expect(startRequest.parse({ plan }).plan).toBe(plan);
    expect(previewRequest.parse({ plan }).plan).toBe(plan);
    expect(startRequest.safeParse({ plan, foo: 1 }).success).toBe(false);
  });

  it.each<[string, z.ZodType, object]>([
    ['pause', pauseRequest, {}],
    ['resume', resumeRequest, { location: 'Berlin' }],
    [
      'promote',
      promoteRequest,
      { location: 'Berlin', stage: 'Canary', wave: true, now: true, child: 'a', confirm: true },
    ],
    ['abort', abortRequest, { location: 'Berlin' }],
    ['retry', retryRequest, { location: 'Berlin', children: ['a', 'b'] }],
    ['skip', skipRequest, { location: 'Berlin' }],
    ['eject', ejectRequest, { child: 'a' }],
    ['revert', revertRequest, { location: 'Berlin', open_gates: true }],
  ])('to %s take their keys, a version and a reason, and nothing else', (_, schema, keys) => {
    const whole = { ...keys, version: 7, reason: 'why not' };
    expect(schema.parse(whole)).toEqual(whole);
    for (const wrong of [{ extra: 1 }, { version: 'x' }, { version: -1 }, { reason: '' }, { reason: 'x'.repeat(1001) }])
      expect(schema.safeParse({ ...whole, ...wrong }).success).toBe(false);
  });

  it('refuse a key that has another name now, which is known', () => {
    const { error } = revertRequest.safeParse({ release_held: true });
    expect(error?.issues).toMatchObject([{ code: 'unrecognized_keys', keys: ['release_held'], path: [] }]);
    expect(renamedKey('release_held')).toBe('open_gates');
    expect([renamedKey('open_gates'), renamedKey('reason'), renamedKey('constructor')]).toEqual([null, null, null]);
  });

  it('need what they are about, and take at most 1000 children', () => {
    expect([ejectRequest, skipRequest].map((schema) => schema.safeParse({}).success)).toEqual([false, false]);
    const many = (n: number) => retryRequest.safeParse({ children: Array.from({ length: n }, () => 'a') }).success;
    expect([0, 1, 1000, 1001].map(many)).toEqual([false, true, true, false]);
  });

  it('can be described in OpenAPI', () => {
    const schema = z.strictObject({ start: startRequest, ...previewRequest.shape });
    const { components } = createDocument({
      openapi: '3.1.0',
      info: { title: '', version: '' },
      paths: { '/': { post: { requestBody: { content: { 'application/json': { schema } } }, responses: {} } } },
    });
    const described = components?.schemas?.['PlanKeys'];
    expect(described).toMatchObject({
      additionalProperties: false,
      properties: {
        waves: { anyOf: [{ type: 'integer', minimum: 1, maximum: 1_000_000 }, {}, {}, {}] },
        advance: { properties: { quorum: { type: 'number', minimum: 0, maximum: 100 } } },
      },
    });
  });
});
