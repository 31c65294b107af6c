/** One object per call: it checks what comes in, answers, and yields the OpenAPI document. */
import { isTransient } from '#store/connection/errors.ts';
import { timingSafeEqual } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { koaBody } from 'koa-body';
import { z } from 'zod';
import { NotAccepted } from '#queue/group-commit.ts';
import type { Logger } from '#runtime/log.ts';
import { pathText } from '#wire/path.ts';
import { renamedKey } from '#wire/renamed.ts';
import { type ProblemCode, ProblemError } from '#wire/operator/problem.ts';

type Input<P, Q, B> = { params: P; query: Q; body: B; ctx: Context };

export type OperatorRoute = {
  method: 'get' | 'post' | 'delete';
  /** Below /api/v1, in the router's notation. */
  path: string;
  summary: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Its body may be as large as a bundle: plans hold polygons. */
  large?: boolean;
  /** The parts of a multipart body, for the document; the handler reads them itself. */
  multipart?: Record<string, string>;
  responses: Record<number, { description: string; schema?: z.ZodType }>;
  problems: readonly ProblemCode[];
  handle(
    input: Input<Record<string, string>, Record<string, unknown>, unknown>,
  ): Promise<{ status: number; body?: unknown }>;
};

/** Types the handler by its schemas; the list of routes then holds them all alike. */
export function route<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType>(
  definition: Omit<OperatorRoute, 'params' | 'query' | 'body' | 'handle'> & {
    params?: P;
    query?: Q;
    body?: B;
    handle(input: Input<z.infer<P>, z.infer<Q>, z.infer<B>>): Promise<{ status: number; body?: unknown }>;
  },
): OperatorRoute {
  return definition as unknown as OperatorRoute;
}

/** Bytes of a body. */
export type BodyLimits = { usual: number; large: number };

const PREFIX = '/api/v1';

export function mountRoutes(router: Router, routes: readonly OperatorRoute[], limits: BodyLimits): void {
  const upTo = (jsonLimit: number): Middleware =>
    koaBody({ jsonLimit, json: true, text: false, urlencoded: false, multipart: false });
  const [json, large] = [upTo(limits.usual), upTo(limits.large)];
  for (const each of routes) {
    const middlewares: Middleware[] = each.body === undefined ? [] : [each.large === true ? large : json];
    router[each.method](PREFIX + each.path, ...middlewares, async (ctx: Context) => {
      const body = each.body === undefined ? undefined : check(each.body, bodyOf(ctx), 'the body');
      const params = each.params === undefined ? {} : check(each.params, ctx['params'], 'the path');
      const query = each.query === undefined ? {} : check(each.query, { ...ctx.query }, 'the query');
      const answer = await each.handle({
        params: params as Record<string, string>,
        query,
        body,
        ctx,
      });
      ctx.status = answer.status;
      if (answer.body !== undefined) ctx.body = answer.body;
    });
  }
}

function bodyOf(ctx: Context): unknown {
  const hasBody = (ctx.request.length ?? 0) > 0 || ctx.req.headers['transfer-encoding'] !== undefined;
  if (hasBody && ctx.request.is('json', '+json') === false)
    throw new ProblemError('unsupported-media-type', 'the body must be application/json');
  return hasBody ? ctx.request.body : {};
}

function check<T extends z.ZodType>(schema: T, value: unknown, where: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap(findings);
  const first = errors[0];
  throw new ProblemError(
    'bad-request',
    `${where}: ${first?.path === '' ? '' : `${first?.path}: `}${first?.message}`,
    errors,
  );
}

/** A key that had another name is told the new one. */
function findings(issue: z.core.$ZodIssue): { path: string; message: string }[] {
  const { path, message } = issue;
  const renamed = issue.code === 'unrecognized_keys' ? issue.keys.filter((key) => renamedKey(key) !== null) : [];
  if (renamed.length === 0) return [{ path: pathText(path), message }];
  return renamed.map((key) => ({ path: pathText([...path, key]), message: `is called ${renamedKey(key)} now` }));
}

export function problems(log: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const known = error instanceof ProblemError ? error : translate(error, log);
      const answer = known.toProblem();
      ctx.status = answer.status;
      ctx.type = 'application/problem+json';
      ctx.body = JSON.stringify(answer);
      if (known.code === 'unauthorized') ctx.set('WWW-Authenticate', 'Bearer');
      if (known.code === 'unavailable') ctx.set('Retry-After', '1');
    }
  };
}

function translate(error: unknown, log: Logger): ProblemError {
  if (isTransient(error) || error instanceof NotAccepted)
    return new ProblemError('unavailable', 'try again in a moment');
  const { status, message } = error as { status?: number; message?: string };
  if (status === 413) return new ProblemError('too-large', 'the body is over the limit');
  if (status === 415) return new ProblemError('unsupported-media-type', message ?? '');
  if (status === 400) return new ProblemError('bad-request', `the body: ${message}`);
  log.error({ err: error }, 'an operator request failed');
  return new ProblemError('internal', 'the log tells more');
}

export function bearer(token: string): Middleware {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return async (ctx, next) => {
    const given = /^Bearer (.+)$/i.exec(ctx.get('Authorization'))?.[1] ?? '';
    if (!timingSafeEqual(digest(given), expected))
      throw new ProblemError('unauthorized', 'send Authorization: Bearer with the OPERATOR_TOKEN');
    await next();
  };
}
