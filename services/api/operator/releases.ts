/** `/api/v1/releases`: publish, list, show, start, abort, and the children of a release. */
import { readFile, rm } from 'node:fs/promises';
import type { Context } from 'koa';
import { koaBody } from 'koa-body';
import { rankRange } from '#domain/record.ts';
import { DEFAULT_PLAN, PRESETS } from '#domain/plan.ts';
import { abortRollout, canBecome, type Rollout, startRollout } from '#domain/rollout.ts';
import { ReleaseStatus, type ReleaseStatusName } from '#domain/status.ts';
import type { TickProducer } from '#queue/producers.ts';
import type { Keys } from '#store/keys.ts';
import { isCursor, pageOf as readPage } from '#store/pages.ts';
import type { Client } from '#store/redis.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Release } from '#store/release-store.ts';
import type { Stores } from '#store/stores.ts';
import {
  abortRequest,
  childParams,
  childrenQuery,
  pageOf,
  pageQuery,
  published,
  release,
  releaseChild,
  releaseIdParam,
  releaseItem,
  startRequest,
} from '#wire/operator.ts';
import { ProblemError } from '#wire/problem.ts';
import type { Publisher } from '../publisher.ts';
import { type OperatorRoute, route } from './route.ts';
import { readsAs, releaseChildView, releaseItem as itemView, releaseView } from './views.ts';

const WRITE_TRIES = 5;

export type OperatorDeps = Stores & {
  client: Client;
  keys: Keys;
  clock: Clock;
  ticks: Pick<TickProducer, 'schedule'>;
  publish: Publisher;
  freshForMs: number;
  bundleLimit: number;
};

export function releaseRoutes(deps: OperatorDeps): OperatorRoute[] {
  const { releases, children, clock } = deps;
  const show = async (known: Release, rollout: Rollout) => releaseView(known, rollout, deps, clock.now());

  async function find(id: string): Promise<{ release: Release; rollout: Rollout }> {
    const [found, rollout] = await Promise.all([releases.release(id), releases.rollout(id)]);
    if (found === null || rollout === null) throw new ProblemError('not-found', `there is no release ${id}`);
    return { release: found, rollout };
  }

  /** Reads, decides and writes under the guard; a scheduler that wrote in between only costs another try. */
  async function change(id: string, decideNext: (rollout: Rollout) => Promise<Rollout> | Rollout): Promise<Rollout> {
    for (let i = 0; i < WRITE_TRIES; i++) {
      const { rollout } = await find(id);
      const next = await decideNext(rollout);
      if (next === rollout) return rollout;
      const written = await releases.write(rollout, next);
      if (written !== false) return written;
    }
    throw new ProblemError('changed-meanwhile', `release ${id} changed while this was decided, try again`);
  }

  const publishRoute = route({
    method: 'post',
    path: '/releases',
    summary: 'Publish a release',
    multipart: { release: 'release.yml', functions: 'fns.zip' },
    responses: {
      201: { description: 'Published', schema: published },
      200: { description: 'These bytes were published before', schema: published },
    },
    problems: ['bad-request', 'release-exists', 'too-large', 'unsupported-media-type', 'invalid-release'],
    async handle({ ctx }) {
      const { yml, zip } = await readParts(ctx, deps.bundleLimit);
      const { id, warnings, created } = await deps.publish(yml, zip);
      if (created) ctx.set('Location', `/api/v1/releases/${id}`);
      return { status: created ? 201 : 200, body: { id, warnings } };
    },
  });

  const listRoute = route({
    method: 'get',
    path: '/releases',
    summary: 'List releases in order of publishing',
    query: pageQuery,
    responses: { 200: { description: 'A page', schema: pageOf(releaseItem) } },
    problems: ['bad-request'],
    async handle({ query: { cursor, limit } }) {
      const ids = await releases.list(cursor ?? null, limit);
      if (ids === null) throw new ProblemError('bad-request', 'cursor: is none of ours');
      const found = await Promise.all(ids.map((id) => find(id)));
      const next = ids.length === limit ? (ids.at(-1) ?? null) : null;
      return { status: 200, body: { items: found.map((each) => itemView(each.release, each.rollout)), next } };
    },
  });

  const showRoute = route({
    method: 'get',
    path: '/releases/:id',
    summary: 'Show a release: its state, its progress and why it waits',
    params: releaseIdParam,
    responses: { 200: { description: 'The release', schema: release } },
    problems: ['not-found'],
    async handle({ params: { id } }) {
      const found = await find(id);
      return { status: 200, body: await show(found.release, found.rollout) };
    },
  });

  const startRoute = route({
    method: 'post',
    path: '/releases/:id/start',
    summary: 'Start a release; starting it again the same way is no error',
    params: releaseIdParam,
    body: startRequest,
    responses: { 200: { description: 'The release', schema: release } },
    problems: ['bad-request', 'not-found', 'wrong-state', 'changed-meanwhile'],
    async handle({ params: { id }, body }) {
      const { release: found, rollout: before } = await find(id);
      const named = typeof body.plan === 'object' ? body.plan.name : body.plan;
      const plan = named === undefined ? (before.plan ?? PRESETS[DEFAULT_PLAN]) : PRESETS[named];
      await releases.addUnfinished(id);
      const rollout = await change(id, (current) => {
        if (current.state === 'running' && current.plan.name === plan.name) return current;
        if (current.state !== 'published')
          throw new ProblemError(
            'wrong-state',
            `release ${id} is ${current.state} under ${current.plan.name}: only a published one can be started`,
          );
        const now = clock.now();
        return startRollout(current, plan, now, now - deps.freshForMs);
      });
      await deps.ticks.schedule(id);
      await releases.look(id);
      return { status: 200, body: await show(found, rollout) };
    },
  });

  const abortRoute = route({
    method: 'post',
    path: '/releases/:id/abort',
    summary: 'Abort a release: nobody more gets it, children underway stay in their stage',
    params: releaseIdParam,
    body: abortRequest,
    responses: { 200: { description: 'The release', schema: release } },
    problems: ['bad-request', 'not-found', 'wrong-state', 'changed-meanwhile'],
    async handle({ params: { id }, body }) {
      const { release: found } = await find(id);
      const rollout = await change(id, (current) => {
        if (current.state === 'aborted') return current;
        if (!canBecome(current.state, 'aborted'))
          throw new ProblemError('wrong-state', `release ${id} is ${current.state}: there is nothing to abort`);
        return abortRollout(current, clock.now(), body.reason ?? 'aborted by an operator');
      });
      return { status: 200, body: await show(found, rollout) };
    },
  });

  const childrenRoute = route({
    method: 'get',
    path: '/releases/:id/children',
    summary: 'List the children that are enrolled in a release',
    params: releaseIdParam,
    query: childrenQuery,
    responses: { 200: { description: 'A page', schema: pageOf(releaseChild) } },
    problems: ['bad-request', 'not-found'],
    async handle({ params: { id }, query: { cursor, limit, status } }) {
      const { rollout } = await find(id);
      if (cursor !== undefined && !isCursor(cursor)) throw new ProblemError('bad-request', 'cursor: is none of ours');
      const ranks = status === undefined ? null : ranksOf(rollout, status);
      if (ranks === 'nobody') return { status: 200, body: { items: [], next: null } };
      const keyOf = (p: number): string => deps.keys.index(p, id);
      const page = await readPage(deps.client, keyOf, children.partitions, cursor ?? null, limit, ranks);
      const items = await Promise.all(page.ids.map((childId) => oneChild(rollout, childId)));
      return { status: 200, body: { items, next: page.next } };
    },
  });

  /** The ranks of the enrolled children that read a status: after an abort Todo reads No. */
  function ranksOf(rollout: Rollout, status: ReleaseStatusName): readonly [number, number] | 'nobody' {
    const stored = Object.values(ReleaseStatus).find(
      (each) => each !== ReleaseStatus.No && readsAs(rollout, each) === ReleaseStatus[status],
    );
    return stored === undefined ? 'nobody' : rankRange(stored);
  }

  async function oneChild(rollout: Rollout, childId: string) {
    const [record, [details]] = await Promise.all([children.record(rollout.tag, childId), children.details([childId])]);
    if (record === null && details == null) throw new ProblemError('not-found', `there is no child ${childId}`);
    return releaseChildView(childId, rollout, record, details?.leftAt ?? null);
  }

  const childRoute = route({
    method: 'get',
    path: '/releases/:id/children/:childId',
    summary: 'Show one child in a release; a known child that is not enrolled reads No',
    params: childParams,
    responses: { 200: { description: 'The child', schema: releaseChild } },
    problems: ['not-found'],
    async handle({ params: { id, childId } }) {
      const { rollout } = await find(id);
      return { status: 200, body: await oneChild(rollout, childId) };
    },
  });

  return [publishRoute, listRoute, showRoute, startRoute, abortRoute, childrenRoute, childRoute];
}

/** The two files of a multipart body; formidable keeps them in the system's temporary folder until they're read. */
async function readParts(ctx: Context, limit: number): Promise<{ yml: Buffer; zip: Buffer }> {
  if (ctx.is('multipart') !== 'multipart')
    throw new ProblemError('unsupported-media-type', 'send multipart/form-data with the parts release and functions');
  await koaBody({
    multipart: true,
    json: false,
    urlencoded: false,
    text: false,
    formidable: { maxFileSize: limit, maxTotalFileSize: 2 * limit, allowEmptyFiles: true, minFileSize: 0, maxFiles: 4 },
    onError: (error) => {
      const status = (error as { httpCode?: number }).httpCode;
      if (status === 413) throw new ProblemError('too-large', `a file is over the limit of ${limit} bytes`);
      throw new ProblemError('bad-request', `the body can't be read: ${error.message}`);
    },
  })(ctx, () => Promise.resolve());
  const files = Object.values(ctx.request.files ?? {}).flat();
  try {
    const part = async (name: string): Promise<Buffer> => {
      const file = [ctx.request.files?.[name] ?? []].flat()[0];
      if (file !== undefined) return readFile(file.filepath);
      const field = (ctx.request.body as Record<string, unknown> | undefined)?.[name];
      // A part without a file name comes as a text field: fine for YAML.
      if (typeof field === 'string' && name === 'release') return Buffer.from(field);
      throw new ProblemError(
        'bad-request',
        `the part "${name}" is missing: send release (release.yml) and functions (fns.zip)`,
      );
    };
    return { yml: await part('release'), zip: await part('functions') };
  } finally {
    await Promise.all(files.map((file) => rm(file.filepath, { force: true })));
  }
}
