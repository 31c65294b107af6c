/**
 * What children send, in both spellings: the specification's samples and the reference agent's (numbers or strings for
 * ids, names or ordinals for statuses, PascalCase or snake_case keys, `next_stage` in the summary or beside them).
 * Unknown extra fields are ignored; null is a value of `next_stage` only.
 */
import { z } from 'zod';
import { areaFault } from '#domain/child/area.ts';
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { REPORTED, type ReportedStatus, STAGE_STATUSES } from '#domain/child/status.ts';
import type { StageSummary } from '#domain/child/summary.ts';
import { pathText } from '#wire/path.ts';

const text = z.string({ error: 'must be a string' });
const idText = z
  .union([z.string(), z.number()], { error: 'must be a string or a number' })
  // A number that JSON can't carry exactly would come out as another child.
  .refine(
    (id) => typeof id === 'string' || Number.isSafeInteger(id) || !Number.isInteger(id),
    'is too large for a number: send a string',
  )
  .transform((id) => String(id));
const childId = idText.refine((id) => CHILD_ID.test(id), 'must be 1 to 128 of A-Z a-z 0-9 . _ : -');
const releaseId = idText.refine(
  (id) => RELEASE_ID.test(id),
  'must be 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..',
);
const number = z.number({ error: 'must be a number' });
const object = <T extends z.ZodRawShape>(shape: T) => z.object(shape, { error: 'must be an object' });

const rings = z.array(
  z.array(z.tuple([number, number], { error: 'must be a position [longitude, latitude]' }).rest(number), {
    error: 'must be a ring: an array of positions',
  }),
  { error: 'must be an array of rings' },
);

const area = object({
  type: z.literal('Polygon', { error: 'must be "Polygon"' }),
  coordinates: rings,
}).superRefine(({ coordinates }, context) => {
  const found = areaFault(coordinates);
  if (found !== null)
    context.addIssue({ code: 'custom', path: [`coordinates${found.path}`], message: `is wrong: ${found.fault}` });
});

/** `POST /poll`. An id that is empty or absent is a new child. */
export const pollRequest = object({
  id: z.union([z.literal(''), childId], { error: 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' }).optional(),
  geographic_area: area,
  number_of_children: number
    .int({ error: 'must be a whole number' })
    .min(0, 'must be from 0 to 1000000000')
    .max(1e9, 'must be from 0 to 1000000000'),
}).transform(({ id, geographic_area, number_of_children }) => ({
  id: id ?? '',
  area: geographic_area.coordinates,
  childCount: number_of_children,
}));

/** `POST /end_stage`. */
export const endStageRequest = object({
  id: childId,
  strategy_id: releaseId,
  stage_name: text.min(1, 'must name a stage'),
}).transform(({ id, strategy_id, stage_name }) => ({ id, release: strategy_id, stage: stage_name }));

/** The query of `GET /release`. */
export const releaseQuery = z.object({ childID: childId, releaseID: releaseId });
/** The path of `GET /release/functions/{release_id}`. */
export const releasePath = z.object({ release_id: releaseId });

const SPELLINGS = new Map([
  ['proxy_times', 'ProxyTimes'],
  ['f1_times_summary', 'F1TimesSummary'],
  ['f2_times_summary', 'F2TimesSummary'],
  ['f1_err_rate', 'F1ErrRate'],
  ['f2_err_rate', 'F2ErrRate'],
  ['median', 'Median'],
  ['minimum', 'Minimum'],
  ['maximum', 'Maximum'],
]);

/** The agent's spelling of a key becomes the specification's; where both are present the specification's counts. */
function respell(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const renamed: Record<string, unknown> = {};
  for (const [key, content] of Object.entries(value)) {
    const name = SPELLINGS.get(key) ?? key;
    // To set it would give the object another prototype, and with it fields that nobody sent as such.
    if (name === '__proto__') continue;
    if (name === key || !Object.hasOwn(value, name)) renamed[name] = content;
  }
  return renamed;
}

const times = z
  .preprocess(respell, object({ Median: number, Minimum: number, Maximum: number }))
  .transform(({ Median, Minimum, Maximum }) => ({ median: Median, minimum: Minimum, maximum: Maximum }));
const errRate = number.min(0, 'must be from 0 to 1').max(1, 'must be from 0 to 1');
const REPORTED_NAMES = 'must be one that a child reports: SuccessWaiting (2), Completed (4), Failure (5) or Error (6)';

const status = z
  .union([z.string(), z.number()], { error: 'must be a name or a number' })
  .transform((given) => (typeof given === 'string' ? (STAGE_STATUSES as readonly string[]).indexOf(given) : given))
  .refine((ordinal) => (REPORTED as readonly number[]).includes(ordinal), REPORTED_NAMES)
  .transform((ordinal) => ordinal as ReportedStatus);

const nextStage = z.string({ error: 'must be a string or null' }).nullable().optional();

const summary = z.preprocess(
  respell,
  object({
    stage_name: text.optional(),
    status,
    next_stage: nextStage,
    ProxyTimes: times,
    F1TimesSummary: times,
    F2TimesSummary: times,
    F1ErrRate: errRate,
    F2ErrRate: errRate,
  }),
);

export type ChildResult = {
  id: string;
  release: string;
  reports: {
    /** Null: the child's current stage. */
    stage: string | null;
    status: ReportedStatus;
    /** Undefined: nothing was said of it. */
    next: string | null | undefined;
    /** Where it was said. */
    nextField: string;
    summary: StageSummary;
  }[];
};

/**
 * `POST /result`. A `next_stage` beside the summaries belongs to the last of them, unless that names its own: null and ""
 * name none, while "rollout" and "rollback" are statements.
 */
export const resultRequest = object({
  id: childId,
  release_id: releaseId,
  stage_summaries: z
    .array(summary, { error: 'must be an array of summaries' })
    .min(1, 'must hold at least one summary')
    .max(64, 'must hold at most 64 summaries'),
  next_stage: nextStage,
}).transform((body): ChildResult => ({
  id: body.id,
  release: body.release_id,
  reports: body.stage_summaries.map((s, i, all) => ({
    stage: s.stage_name || null,
    status: s.status,
    ...(i === all.length - 1 && !s.next_stage
      ? { next: body.next_stage ?? s.next_stage, nextField: 'next_stage' }
      : { next: s.next_stage, nextField: `stage_summaries[${i}].next_stage` }),
    summary: {
      proxy: s.ProxyTimes,
      f1: s.F1TimesSummary,
      f2: s.F2TimesSummary,
      f1ErrRate: s.F1ErrRate,
      f2ErrRate: s.F2ErrRate,
    },
  })),
}));

/** Checks a value; a fault is one line that names the field, as children and people read it. */
export function check<T extends z.ZodType>(schema: T, value: unknown): { data: z.infer<T> } | { fault: string } {
  // With its input an issue tells a field that is missing from one that is wrong.
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return { data: parsed.data };
  const [issue] = parsed.error.issues;
  if (issue === undefined) return { fault: 'the body is wrong' };
  const path = pathText(issue.path);
  const message = issue.input === undefined ? 'is missing' : issue.message;
  return { fault: `${path === '' ? 'the body' : path} ${message}` };
}
