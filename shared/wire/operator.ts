/** What the operator API takes and gives. The OpenAPI document is generated from these schemas. */
import { z } from 'zod';
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { PRESET_NAMES } from '#domain/plan.ts';
import { ROLLOUT_STATES } from '#domain/rollout.ts';
import { RELEASE_STATUSES, STAGE_STATUSES } from '#domain/status.ts';
import { finding } from './problem.ts';

const count = z.int().min(0);
const time = z.iso.datetime();
const releaseStatus = z.enum(RELEASE_STATUSES);
const stageStatus = z.enum(STAGE_STATUSES);

const releaseId = z.string().regex(RELEASE_ID, 'is 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..');
const childId = z.string().regex(CHILD_ID, 'is 1 to 128 of A-Z a-z 0-9 . _ : -');

export const releaseIdParam = z.object({ id: releaseId });
export const childParams = z.object({ id: releaseId, childId });
export const childIdParam = z.object({ id: childId });

export const pageQuery = z.object({
  cursor: z.string().optional().meta({ description: '`next` of the page before' }),
  limit: z
    .string()
    .regex(/^([1-9]\d{0,2}|1000)$/, 'is a whole number from 1 to 1000')
    .transform(Number)
    .prefault('100'),
});
export const childrenQuery = pageQuery.extend({
  status: releaseStatus.optional().meta({ description: 'Only children with this release status' }),
});

const presetName = z.enum(PRESET_NAMES, `is one of ${PRESET_NAMES.join(', ')}`);

export const plan = z.object({ name: z.enum(PRESET_NAMES) }).meta({ id: 'Plan' });
export const startRequest = z.strictObject({
  plan: z
    .union([presetName, z.strictObject({ name: presetName })], `is one of ${PRESET_NAMES.join(', ')}`)
    .optional()
    .meta({ description: 'A preset’s name; by default the one in the release file, or global-incremental' }),
});
export const abortRequest = z.strictObject({ reason: z.string().min(1).max(1000).optional() });

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
  .object({ id: z.string(), children: count.nullable(), stages: z.array(stageProgress) })
  .meta({ id: 'LocationProgress' });

const waitingChild = z.object({
  id: z.string(),
  silent_seconds: count.nullable().meta({ description: 'Since its last sign of life; null: it is no longer known' }),
  left_release: z.boolean().meta({ description: 'It polls although it has the release: it has dropped it' }),
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
      not_enrolled: z.object({ silent: count }),
      locations_through: count,
      locations_to_come: count,
      locations: z.array(location).meta({ description: 'Those that have the release now' }),
      stages: z.array(stageProgress).meta({ description: 'Over all locations' }),
    }),
    waiting: z.array(waiting),
  })
  .meta({ id: 'Release' });
export type ReleaseView = z.infer<typeof release>;
export type StageProgressView = z.infer<typeof stageProgress>;

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
