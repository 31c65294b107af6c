/** `/api/v1/releases`: publish, list, show, start, abort, and the children of a release. */
import { readFile, rm } from 'node:fs/promises';
import type { Context } from 'koa';
import { koaBody } from 'koa-body';
import { rankRange } from '#domain/record.ts';
import type { Rollout } from '#domain/rollout.ts';
import { ReleaseStatus, type ReleaseStatusName } from '#domain/status.ts';
import type { TickProducer, WalkProducer } from '#queue/producers.ts';
import type { Keys } from '#store/keys.ts';
import { isCursor, pageOf as readPage } from '#store/pages.ts';
import type { Client } from '#store/redis.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Aggregates } from '#store/snapshot-store.ts';
import type { Stores } from '#store/stores.ts';
import {
  childParams,
  childrenQuery,
  pageOf,
  pageQuery,
  published,
  release,
  releaseChild,
  releaseIdParam,
  releaseItem,
} from '#wire/operator.ts';
import { ProblemError } from '#wire/problem.ts';
import type { Publisher } from '../publisher.ts';
import type { Changes, Found } from './changes.ts';
import type { Events } from './events.ts';
import { type OperatorRoute, route } from './route.ts';
import { childWaits, readsAs, releaseChildView, releaseItem as itemView, releaseView } from './views.ts';

export type OperatorDeps = Stores & {
  client: Client;
  keys: Keys;
  clock: Clock;
  ticks: Pick<TickProducer, 'schedule'>;
  walks: Pick<WalkProducer, 'add'>;
  publish: Publisher;
  events: Pick<Events, 'listen'>;
  freshForMs: number;
  seenPrecisionMs: number;
  bundleLimit: number;
};

export function releaseRoutes(deps: OperatorDeps, { find }: Changes): OperatorRoute[] {
  const { releases, children, snapshots, clock } = deps;
  const show = async ({ release: known, rollout }: Found) => releaseView(known, rollout, deps, clock.now());

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
      return { status: 200, body: await show(await find(id)) };
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
      const aggregates = aggregatesOf(rollout);
      const items = await Promise.all(page.ids.map((childId) => oneChild(rollout, childId, aggregates)));
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

  /** Read when first asked for, and once for all children of a page. */
  function aggregatesOf(rollout: Rollout): () => Promise<Aggregates> {
    let read: Promise<Aggregates> | undefined;
    return () => (read ??= snapshots.aggregates(rollout));
  }

  async function oneChild(rollout: Rollout, childId: string, aggregates = aggregatesOf(rollout)) {
    const [record, [details]] = await Promise.all([children.record(rollout.tag, childId), children.details([childId])]);
    if (record === null && details == null) throw new ProblemError('not-found', `there is no child ${childId}`);
    const wait = await childWaits(childId, rollout, record, aggregates, details?.underway ?? null, clock.now());
    return releaseChildView(childId, rollout, record, details?.leftAt ?? null, wait);
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

  return [publishRoute, listRoute, showRoute, childrenRoute, childRoute];
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
