/** What the operator API takes. The OpenAPI document is generated from these schemas. */
import { z } from 'zod';
import { RELEASE_STATUSES } from '#domain/child/status.ts';
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { planRequest } from '#wire/plan/read-plan.ts';

const releaseStatus = z.enum(RELEASE_STATUSES);

export const releaseId = z.string().regex(RELEASE_ID, 'is 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..');
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

const version = z
  .int()
  .min(0)
  .optional()
  .meta({ description: 'The release’s version that this was decided on; when it has changed since: 409' });
const reason = z.string().min(1).max(1000).optional().meta({ description: 'For people, and the audit' });
const locationId = z.string('is missing or no text').min(1, 'is empty').max(160, 'is no location: too long');
const planGiven = planRequest
  .optional()
  .meta({ description: 'A preset’s name, or a plan; by default the one in the release file, or global-incremental' });

export const startRequest = z.strictObject({ plan: planGiven, version });
export const previewRequest = z.strictObject({ plan: planGiven });
export const pauseRequest = z.strictObject({ version, reason });
export const resumeRequest = z.strictObject({ location: locationId.optional(), version, reason });
export const promoteRequest = z.strictObject({
  location: locationId.optional(),
  stage: z.string().min(1).optional().meta({ description: 'A stage that waits for approval' }),
  wave: z.boolean().optional().meta({ description: 'Approves the next wave' }),
  child: childId.optional().meta({ description: 'Ends the stage of this child alone' }),
  now: z.boolean().optional().meta({ description: 'Opens the gate of the stage, though its conditions don’t hold' }),
  confirm: z
    .boolean()
    .optional()
    .meta({ description: 'Needed for a child that is InProgress: it rolls out code that it hasn’t tried' }),
  version,
  reason,
});
export const abortRequest = z.strictObject({ location: locationId.optional(), version, reason });
export const retryRequest = z.strictObject({
  location: locationId.optional(),
  children: z.array(childId).min(1).max(1000).optional(),
  version,
  reason,
});
export const skipRequest = z.strictObject({ location: locationId, version, reason });
export const ejectRequest = z.strictObject({ child: childId, version, reason });
export const revertRequest = z.strictObject({
  location: locationId.optional(),
  open_gates: z.boolean().optional().meta({
    description: 'Children that wait at a gate pass it, so that they can be reached; by default as the plan has it',
  }),
  version,
  reason,
});
