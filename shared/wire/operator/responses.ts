/** What the operator API gives. The OpenAPI document is generated from these schemas. */
import { z } from 'zod';
import { RELEASE_STATUSES, STAGE_STATUSES } from '#domain/child/status.ts';
import { ROLLOUT_STATES } from '#domain/rollout/rollout.ts';
import { finding } from './problem.ts';

const count = z.int().min(0);
const time = z.iso.datetime();
const releaseStatus = z.enum(RELEASE_STATUSES);
const stageStatus = z.enum(STAGE_STATUSES);

export const plan = z
  .looseObject({ name: z.string().meta({ description: 'The preset that it was made from, or custom' }) })
  .meta({ id: 'Plan', description: 'In its long form; of regions only their number' });

export const published = z.object({ id: z.string(), warnings: z.array(finding) }).meta({ id: 'Published' });

const quantiles = z.object({ p50: z.number().nullable(), p99: z.number().nullable() });
const stageMetrics = z
  .object({ f1_response_ms: quantiles, f2_response_ms: quantiles, f1_error_rate: quantiles, f2_error_rate: quantiles })
  .meta({ description: 'Quantiles over children of the medians and error rates that they reported; null = no calls' });

const countPer = <Name extends string>(names: readonly Name[]) =>
  Object.fromEntries(names.map((name) => [name, count.optional()])) as Record<Name, z.ZodOptional<typeof count>>;

const stageProgress = z
  .object({ name: z.string(), type: z.string(), gate: z.enum(['open', 'closed']).nullable(), metrics: stageMetrics })
  .extend(countPer(STAGE_STATUSES))
  .meta({ id: 'StageProgress', description: 'Children by effective status; a status that none has is absent' });

const location = z
  .object({
    id: z.string(),
    children: count.nullable().meta({ description: 'Enrolled when it opened; null: it is still being enrolled' }),
    enrolled: count.meta({ description: 'So far, late joiners too' }),
    held: z.string().nullable().meta({ description: 'Why nothing goes on here' }),
    failed: count,
    lost: count,
    stages: z.array(stageProgress),
  })
  .meta({ id: 'LocationProgress' });

const aside = z
  .object({
    id: z.string(),
    as: z.enum(['skipped', 'aborted', 'reverting', 'reverted']),
    reason: z.string(),
    children: count,
    release: z.string().nullable().meta({ description: 'The release that takes it back' }),
  })
  .meta({ id: 'LocationAside', description: 'A location that was left out: its children stay where they are' });

const waitingChild = z.object({
  id: z.string(),
  silent_seconds: count.nullable().meta({ description: 'Since it was last seen; null: it is no longer known' }),
  left_release: z.boolean().meta({ description: 'It polls although it has the release: it has dropped it' }),
  lost_in_seconds: count.nullable().meta({ description: 'Where the plan has lost children: until it is one' }),
  runs: z.string().nullable().meta({ description: 'Another release that it runs now' }),
});
const waiting = z
  .object({
    location: z.string().nullable(),
    stage: z.string().nullable(),
    for: z.string().meta({ example: '1 of 3 children' }),
    children: z.array(z.string()).meta({ description: 'At most 10 of them' }),
    details: z.array(waitingChild),
  })
  .meta({ id: 'Waiting' });

export const release = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.string(),
    state: z.enum(ROLLOUT_STATES),
    reason: z.string().nullable(),
    version: z.int(),
    plan,
    published_at: time,
    started_at: time.nullable(),
    ended_at: time.nullable(),
    warnings: z.array(finding),
    progress: z.object({
      children: z.object(countPer(RELEASE_STATUSES)),
      lost: count,
      overdue: count,
      ejected: count,
      not_enrolled: z.object({
        silent: count.meta({ description: 'At the start, for longer than FRESH_FOR' }),
        outside: count.meta({ description: 'Of every region' }),
      }),
      waves_started: count,
      waves_approved: count,
      to_skip: z.array(z.string()).meta({ description: 'Locations that will be passed over at their turn' }),
      locations_through: count,
      locations_to_come: count,
      locations: z.array(location).meta({ description: 'Those that have the release now' }),
      aside: z.array(aside),
      stages: z.array(stageProgress).meta({ description: 'Over all locations' }),
    }),
    reverted_by: z.string().nullable().meta({ description: 'The release that takes this one back' }),
    waiting: z.array(waiting),
  })
  .meta({ id: 'Release' });
export type ReleaseView = z.infer<typeof release>;
export type StageProgressView = z.infer<typeof stageProgress>;

const seconds = z.number().nullable().meta({ description: 'After the start, at the earliest; null: not known' });

export const preview = z
  .object({
    plan: plan.nullable(),
    faults: z.array(finding).meta({ description: 'A start would be refused for each of them' }),
    conflicts: z.array(z.object({ release: z.string(), functions: z.array(z.string()) })),
    children: z.object({
      known: count,
      silent: count.meta({ description: 'Not lately heard of: they would be left out' }),
      outside: count.meta({ description: 'Of every region' }),
      untargeted: count,
      enrolled: count,
    }),
    looked_at: z.number().meta({ description: 'Share of the fleet that was read; below 1 all numbers are estimates' }),
    locations: z.object({
      count,
      first: z
        .array(
          z.object({
            id: z.string(),
            wave: count,
            children: count,
            opens_after_seconds: seconds,
            through_after_seconds: seconds,
          }),
        )
        .meta({ description: 'In their order, at most 1,000' }),
    }),
    waves: z.object({
      count,
      first: z
        .array(z.object({ wave: count, locations: count, children: count, opens_after_seconds: seconds }))
        .meta({ description: 'At most 1,000' }),
    }),
    earliest_end_seconds: seconds,
    bytes: z.object({ each: count, all: count }),
    revert: z
      .object({
        done: count.meta({ description: 'They would get the version from before' }),
        held: count.meta({
          description:
            'In a WaitForSignal stage: they stay there; with open_gates their stage ends, and they briefly run the new version',
        }),
        unreachable: count.meta({ description: 'In an A/B stage: nothing reaches them before it ends' }),
      })
      .nullable()
      .meta({ description: 'What taking it back now would come to' }),
  })
  .meta({ id: 'Preview' });
export type PreviewView = z.infer<typeof preview>;

export const releaseItem = release
  .pick({
    id: true,
    name: true,
    type: true,
    state: true,
    reason: true,
    published_at: true,
    started_at: true,
    ended_at: true,
  })
  .extend({ plan })
  .meta({ id: 'ReleaseItem' });

const times = z.object({ median: z.number(), minimum: z.number(), maximum: z.number() });
const summary = z
  .object({
    proxy_times: times,
    f1_times_summary: times,
    f2_times_summary: times,
    f1_err_rate: z.number(),
    f2_err_rate: z.number(),
  })
  .meta({ id: 'StageSummary' });

export const releaseChild = z
  .object({
    id: z.string(),
    release_status: releaseStatus,
    location: z.string().nullable(),
    attempt: z.int().nullable(),
    left_release: z.boolean(),
    lost: z.boolean(),
    overdue: z.boolean(),
    ejected: z.boolean(),
    late_joiner: z.boolean(),
    waits_for: z.string().nullable(),
    stages: z.array(z.object({ name: z.string(), type: z.string(), status: stageStatus, summary: summary.nullable() })),
  })
  .meta({ id: 'ReleaseChild' });
export type ReleaseChildView = z.infer<typeof releaseChild>;

export const child = z
  .object({
    id: z.string(),
    geographic_area: z.object({ type: z.literal('Polygon'), coordinates: z.array(z.array(z.array(z.number()))) }),
    number_of_children: count,
    first_seen: time,
    last_seen: time,
    release: z.string().nullable().meta({ description: 'The release that it runs' }),
    left_release: z.boolean(),
  })
  .meta({ id: 'Child' });
export type ChildView = z.infer<typeof child>;

export const deadLetter = z
  .object({ at: time, reason: z.string(), message: z.unknown() })
  .meta({ id: 'DeadLetter', description: 'A message that could not be applied' });

export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().nullable().meta({ description: 'The next page’s cursor' }) });
