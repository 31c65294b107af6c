/** Errors of the child endpoints: one line of text. A JSON error would make an agent take the id `""` for good. */
import { isTransient } from '#store/connection/errors.ts';
import type { Middleware } from 'koa';
import type { Logger } from '#runtime/log.ts';
import { NotAccepted } from '#queue/group-commit.ts';

export class ChildError extends Error {
  override name = 'ChildError';
  readonly status: number;
  constructor(status: 400 | 404 | 405 | 409 | 413 | 415 | 416 | 503, message: string) {
    super(message);
    this.status = status;
  }
}

export const OVERLOADED = 'the manager has more to do than it can, try again';

const RETRY_AFTER_S = 5;
const MAX_TEXT = 500;

export type ErrorAnswer = { status: number; headers: Record<string, string>; text: string };
export type DescribeError = (error: unknown) => ErrorAnswer;

/** Never a 500: an unexpected error is the manager's trouble, and the child is to try again. */
export const describeErrors =
  (log: Logger): DescribeError =>
  (error) => {
    if (error instanceof ChildError) return textAnswer(error.status, error.message);
    const cause = error instanceof NotAccepted ? (error.cause ?? error) : error;
    if (error instanceof NotAccepted || isTransient(error)) log.debug({ err: cause }, 'a child request was refused');
    else log.error({ err: error }, 'a child request failed');
    return textAnswer(503, 'the manager is not able to take this now, try again');
  };

const textAnswer = (status: number, message: string): ErrorAnswer => ({
  status,
  headers: {
    'Content-Type': 'text/plain; charset=utf-8',
    ...(status === 503 && { 'Retry-After': String(RETRY_AFTER_S) }),
  },
  text: `${oneLine(message)}\n`,
});

export function textErrors(describe: DescribeError): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const { status, headers, text } = describe(error);
      ctx.status = status;
      ctx.set(headers);
      ctx.body = text;
    }
  };
}

/** What a child sent may stand in it: no line breaks, no escapes, and an end. */
const oneLine = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').slice(0, MAX_TEXT);
