/** `GET /release` and `GET /release/functions/{id}`: served from memory, by digest, with ETag, Range and 304. */
import type { ParameterizedContext } from 'koa';
import parseRange from 'range-parser';
import { check, releasePath, releaseQuery } from '#wire/child/requests.ts';
import type { ChildDeps, ChildHandler } from './deps.ts';
import { ChildError } from './errors.ts';

type File = { body: Buffer; etag: string; type: string; name: string };

/**
 * The strategy. A GET that is answered 200, 206 or 304 is a download and moves the child to Doing, in Redis, before the
 * answer is sent; a HEAD changes nothing.
 */
export function releaseHandler({ children, cache, files, redisRetry }: ChildDeps): ChildHandler {
  return async (ctx) => {
    const query = check(releaseQuery, { childID: ctx.query['childID'], releaseID: ctx.query['releaseID'] });
    if ('fault' in query) throw new ChildError(400, query.fault);
    const { childID, releaseID } = query.data;
    await redisRetry(async () => {
      const entry = await cache.get(releaseID);
      if (entry === null) throw new ChildError(404, `releaseID: there is no release ${releaseID}`);
      const body = await files.get(entry.release.yml);
      if (body === null) throw new Error(`the file of release ${releaseID} is gone`);
      const served = serve(ctx, {
        body,
        etag: entry.release.yml,
        type: 'text/plain; charset=utf-8',
        name: 'release.yml',
      });
      const enrolled =
        ctx.method === 'HEAD' || !served
          ? (await children.head(entry.rollout.shortId, childID)) !== null
          : (await children.download(childID, entry.rollout)).code === 'ok';
      if (!enrolled) {
        for (const header of ['ETag', 'Accept-Ranges', 'Content-Range', 'Content-Disposition']) ctx.remove(header);
        throw new ChildError(404, `releaseID: child ${childID} is not enrolled in release ${releaseID}`);
      }
      if (!served) throw new ChildError(416, `Range: release.yml has ${body.length} bytes`);
    });
  };
}

/** The functions. A client that knows the release's id may have them. */
export function functionsHandler({ cache, files, redisRetry }: ChildDeps): ChildHandler {
  return async (ctx) => {
    const path = check(releasePath, ctx['params']);
    if ('fault' in path) throw new ChildError(400, path.fault);
    const id = path.data.release_id;
    await redisRetry(async () => {
      const entry = await cache.get(id);
      if (entry === null) throw new ChildError(404, `release_id: there is no release ${id}`);
      const body = await files.get(entry.release.zip);
      if (body === null) throw new Error(`the functions of release ${id} are gone`);
      if (!serve(ctx, { body, etag: entry.release.zip, type: 'application/zip', name: 'fns.zip' }))
        throw new ChildError(416, `Range: fns.zip has ${body.length} bytes`);
    });
  };
}

/**
 * Whether the client has this very file. Koa's own check answers 200 to a client that sends Cache-Control: no-cache
 * with its If-None-Match, as fetch does.
 */
const hasIt = (condition: string, etag: string): boolean =>
  condition.trim() === '*' || condition.split(',').some((each) => each.trim().replace(/^W\//, '') === `"${etag}"`);

/** Fills the answer in; false where the range can't be satisfied. */
function serve(ctx: ParameterizedContext, { body, etag, type, name }: File): boolean {
  ctx.set('ETag', `"${etag}"`);
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('Cache-Control', 'private, no-cache');
  ctx.set('Content-Disposition', `${type.startsWith('text/') ? 'inline' : 'attachment'}; filename="${name}"`);
  ctx.status = 200;
  if (hasIt(ctx.get('If-None-Match'), etag)) {
    ctx.status = 304;
    return true;
  }
  const range = ctx.method === 'GET' && /^bytes=/i.test(ctx.get('Range')) ? ctx.get('Range') : '';
  const condition = ctx.get('If-Range');
  const ranges = range === '' || (condition !== '' && condition !== `"${etag}"`) ? -2 : parseRange(body.length, range);
  if (ranges === -1) {
    ctx.set('Content-Range', `bytes */${body.length}`);
    return false;
  }
  ctx.set('Content-Type', type);
  const [part, ...more] = ranges === -2 ? [] : ranges;
  // Several ranges in one request: the whole is a legal answer, and no agent asks for them.
  if (part === undefined || more.length > 0) ctx.body = body;
  else {
    ctx.status = 206;
    ctx.set('Content-Range', `bytes ${part.start}-${part.end}/${body.length}`);
    ctx.body = body.subarray(part.start, part.end + 1);
  }
  ctx.set('Content-Type', type);
  return true;
}
