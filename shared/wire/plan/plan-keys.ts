/** The keys of a plan as users write them, and what each means. All are optional: what isn't given is the preset's. */
import { PRESET_NAMES } from '#domain/plan/presets.ts';
import { z } from 'zod';
import { CHILD_ID } from '#domain/ids.ts';
import { BREACH_ACTIONS } from '#domain/plan/plan.ts';
import { point, polygonal, regions } from './plan-geojson.ts';
import { boolean, duration, mapping, number, oneOf, share, text, whole, word } from './plan-values.ts';

/** A plan that was made from no preset. */
export const CUSTOM = 'custom';
const PRESETS_ARE = `is one of ${PRESET_NAMES.join(', ')}`;
const MAX_WAVE = 1_000_000;

const notA = (given: unknown): string => `${PRESETS_ARE}${typeof given === 'string' ? `, not "${given}"` : ''}`;
export const presetName = z.enum(PRESET_NAMES, { error: ({ input }) => notA(input) });

const seed = text('is a text of at most 128 characters', /^.{0,128}$/su);
const none = z.literal('none').transform(() => null);
const never = z.literal('never').transform(() => null);

const target = oneOf(
  'everyone, or a mapping with one of intersects, within, children and percent',
  z.literal('everyone').transform((kind) => ({ kind })),
  mapping({ intersects: polygonal }).transform(({ intersects: area }) => ({ kind: 'intersects' as const, area })),
  mapping({ within: polygonal }).transform(({ within: area }) => ({ kind: 'within' as const, area })),
  mapping({
    children: z.array(text('is 1 to 128 of A-Z a-z 0-9 . _ : -', CHILD_ID), 'is no list of children'),
  }).transform(({ children: ids }) => ({ kind: 'children' as const, ids })),
  mapping({ percent: share, seed: seed.optional() }).transform(({ percent, seed: given = '' }) => ({
    kind: 'share' as const,
    share: percent,
    seed: given,
  })),
);

const locations = oneOf(
  'all, child, or a mapping with one of regions and grid_km',
  word('all', 'child').transform((by) => ({ by })),
  mapping({ regions, outside: word('refuse', 'own').optional() }).transform(({ outside = 'refuse', ...given }) => ({
    by: 'regions' as const,
    ...given,
    outside,
  })),
  mapping({ grid_km: number('is a number of kilometres') }).transform(({ grid_km }) => ({
    by: 'grid' as const,
    cellKm: grid_km,
  })),
);

const order = oneOf(
  'joining, size, listed, or a mapping with one of distance_from and shuffle',
  word('joining', 'size', 'listed').transform((by) => ({ by })),
  mapping({ distance_from: point }).transform(({ distance_from: from }) => ({ by: 'distance' as const, from })),
  mapping({ shuffle: seed }).transform(({ shuffle }) => ({ by: 'shuffled' as const, seed: shuffle })),
);

const waves = oneOf(
  `a whole number from 1 to ${MAX_WAVE}, doubling, all, or a mapping with percent`,
  whole(`is a whole number from 1 to ${MAX_WAVE}`, 1, MAX_WAVE).transform((size) => ({ kind: 'fixed' as const, size })),
  z.literal('doubling').transform((kind) => ({ kind })),
  z.literal('all').transform(() => ({ kind: 'shares' as const, shares: [1] })),
  mapping({ percent: z.array(share, 'is no list of shares') }).transform(({ percent: shares }) => ({
    kind: 'shares' as const,
    shares,
  })),
);

const stageNames = z.array(text('is no name of a stage', /./su));
const advance = mapping({
  quorum: share.optional(),
  min_children: whole('is a whole number, at least 1', 1).optional(),
  soak: duration.optional(),
  metrics: oneOf(
    'worst, median, none, or a mapping with share',
    word('worst', 'median').transform((judge) => ({ judge })),
    none,
    mapping({ share }).transform((given) => ({ judge: 'share' as const, ...given })),
  ).optional(),
  approval: mapping({
    stages: oneOf('all, or a list of stages', z.literal('all'), stageNames).optional(),
    waves: boolean.optional(),
  }).optional(),
});

const budget = oneOf(
  'none, or a mapping with count, share and then',
  none,
  mapping({
    count: whole('is a whole number of children, at least 0', 0).optional(),
    share: share.optional(),
    then: word(...BREACH_ACTIONS).optional(),
  }),
);

const limits = {
  per_minute: number('is a number of children a minute').optional(),
  growth: mapping({
    factor: number('is a number above 1'),
    every: whole('is a whole number of children, at least 1', 1),
    up_to: number('is a number of children a minute'),
  })
    .transform(({ up_to: upTo, ...given }) => ({ ...given, upTo }))
    .optional(),
  at_once: whole('is a whole number of children', 0).optional(),
  bytes_per_second: number('is a number of bytes a second').optional(),
};
const perLocation = mapping(limits);
export type Limits = z.infer<typeof perLocation>;

export const planKeys = mapping({
  name: z.enum([...PRESET_NAMES, CUSTOM], { error: ({ input }) => notA(input) }).optional(),
  target: target.optional().meta({ description: 'Who gets the release; everyone by default' }),
  locations: locations.optional().meta({ description: 'What a location is; all children are one by default' }),
  order: order.optional().meta({ description: 'Which location comes first; joining by default' }),
  waves: waves.optional().meta({ description: 'How many locations start together; 1 by default' }),
  wave_soak: duration.optional().meta({ description: 'Between the end of a wave and the next; 0s by default' }),
  stages: word('lockstep', 'own-pace').optional(),
  advance: advance.optional().meta({ description: 'When a stage may end' }),
  failure: mapping({ location: budget.optional(), all: budget.optional() })
    .optional()
    .meta({ description: 'How many may fail: more than both count and share do something' }),
  lost_after: oneOf('a duration such as 10m, or never', never, duration).optional(),
  stage_deadline: oneOf(
    'never, or a mapping with after and then',
    never,
    mapping({ after: duration, then: word('fail', 'hold').optional() }).transform(
      ({ after: afterMs, then = 'hold' }) => ({
        afterMs,
        then,
      }),
    ),
  ).optional(),
  late_joiners: word('none', 'join').optional(),
  rate: mapping({ ...limits, per_location: perLocation.optional() })
    .optional()
    .meta({ description: 'How fast children are enrolled; at once by default' }),
  priority: whole('is a whole number from -1000 to 1000', -1000, 1000).optional(),
  conflicts: word('refuse', 'allow').optional(),
  open_gates_on_revert: boolean.optional(),
}).meta({
  id: 'PlanKeys',
  description: 'A preset (name; global-incremental by default) and what is different. docs/plans.md explains each key',
});
export type PlanKeys = z.infer<typeof planKeys>;
