/** Every error of the operator API, as RFC 9457 problems. The docs' table is generated from this one. */
import { z } from 'zod';

export const PROBLEMS = {
  'bad-request': { status: 400, retryable: false, title: 'The request is wrong' },
  unauthorized: { status: 401, retryable: false, title: 'A bearer token is needed' },
  'not-found': { status: 404, retryable: false, title: 'There is no such thing' },
  'method-not-allowed': { status: 405, retryable: false, title: 'The method is not allowed here' },
  'release-exists': { status: 409, retryable: false, title: 'Another release was published under this id' },
  'wrong-state': { status: 409, retryable: false, title: "The release's state does not allow this" },
  'child-active': { status: 409, retryable: false, title: 'The child is active' },
  'changed-meanwhile': { status: 409, retryable: true, title: 'The release changed meanwhile' },
  'stale-version': { status: 409, retryable: false, title: 'The release has changed since it was read' },
  'conflicting-release': { status: 409, retryable: false, title: 'Another release touches the same functions' },
  'too-large': { status: 413, retryable: false, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, retryable: false, title: 'The body has the wrong media type' },
  'invalid-release': { status: 422, retryable: false, title: 'The release has faults' },
  'invalid-plan': { status: 422, retryable: false, title: 'The plan has faults' },
  internal: { status: 500, retryable: false, title: 'Something unexpected went wrong' },
  unavailable: { status: 503, retryable: true, title: 'The manager cannot reach Redis' },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

export const finding = z
  .object({
    path: z
      .string()
      .meta({ description: 'Where in release.yml, or fns.zip', example: 'stages[0].end_action.onSuccess' }),
    message: z.string(),
  })
  .meta({ id: 'Finding' });

export const problem = z
  .object({
    type: z.string().meta({ example: 'urn:umbilical-choir:problem:invalid-release' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(finding).optional().meta({ description: 'All faults at once, where there are several' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

export type Problem = z.infer<typeof problem>;

export class ProblemError extends Error {
  override name = 'ProblemError';
  readonly code: ProblemCode;
  readonly errors: readonly z.infer<typeof finding>[] | undefined;
  constructor(code: ProblemCode, detail: string, errors?: readonly z.infer<typeof finding>[]) {
    super(detail);
    this.code = code;
    this.errors = errors;
  }

  toProblem(): Problem {
    const { status, title } = PROBLEMS[this.code];
    return {
      type: `urn:umbilical-choir:problem:${this.code}`,
      title,
      status,
      detail: this.message,
      ...(this.errors === undefined ? {} : { errors: [...this.errors] }),
    };
  }
}
