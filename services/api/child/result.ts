/** `POST /result`: answered 200 once the result is in Redis (law 1), held while Redis is away: it's sent only once. */
import { hash } from 'node:crypto';
import type { Report } from '#domain/record.ts';
import { StageStatus } from '#domain/status.ts';
import { namesNoStage } from '#domain/strategy.ts';
import { packSummary } from '#domain/summary.ts';
import type { ReleaseRef } from '#store/child-store.ts';
import { type ChildResult, resultRequest } from '#wire/child.ts';
import { plainResult } from '#wire/plain-result.ts';
import type { Entry } from '../release-cache.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';

const DIGEST_LENGTH = 12;

type Reports = Omit<Report, 'at'>[];

export function createResult({ children, cache, intake, look, hold, clock }: ChildDeps) {
  /** A result that names no stage is bound to the child's current one, so it can't wait in a queue. */
  async function applyNow(id: string, { release, tag }: ReleaseRef, reports: Reports): Promise<void> {
    const applied = await children.apply({ release, tag }, { id, at: '', attempt: '', reports });
    if (applied.code === 'gone') throw unknownChild(id);
    if (applied.code === 'absent') throw notEnrolled(id, release);
    // The periodic tick finds it as well.
    if (applied.code === 'ok' && applied.changed)
      void Promise.all([children.moved([id]), look(release)]).catch(() => {});
  }

  async function accept(result: ChildResult): Promise<void> {
    const { id, release } = result;
    const entry = cache.peek(release) ?? (await cache.get(release));
    if (entry === null) throw new ChildError(404, `release_id: there is no release ${release}`);
    const { tag } = entry.rollout;
    const reports = bind(result, entry);
    const view = await children.forRelease(id, tag);
    if (view === null) throw (await children.isKnown(id)) ? notEnrolled(id, release) : unknownChild(id);
    if (!view.known) throw unknownChild(id);
    const { attempt } = view.head;
    const named = reports.flatMap(({ stage, next, ...rest }) =>
      stage === null || next === 'following' ? [] : [{ ...rest, stage, next }],
    );
    if (named.length < reports.length) return applyNow(id, { release, tag }, reports);
    await intake.submit({ k: 'result', id, release, tag, at: clock.now(), attempt, reports: named }, true);
  }

  return {
    /** Answers with nothing, once the result is in Redis. */
    async answer(text: string): Promise<string> {
      const result = plainResult(text) ?? parseJson(text, resultRequest);
      await hold(() => accept(result));
      return '';
    },
  };
}

const unknownChild = (id: string): ChildError => new ChildError(404, `id: there is no child ${id}`);
const notEnrolled = (id: string, release: string): ChildError =>
  new ChildError(409, `release_id: child ${id} is not enrolled in release ${release}`);

/** From names of stages to their places in the file. */
function bind({ reports }: ChildResult, { release, stageIndex }: Entry): Reports {
  const indexOf = (name: string, field: string): number => {
    const index = stageIndex.get(name);
    if (index === undefined) throw new ChildError(404, `${field}: release ${release.id} has no stage "${name}"`);
    return index;
  };
  const stages = reports.map(({ stage }, i) =>
    stage === null ? null : indexOf(stage, `stage_summaries[${i}].stage_name`),
  );
  return reports.map(({ status, next, nextField, summary }, i) => {
    const stage = stages[i] ?? null;
    const bound =
      next === undefined
        ? impliedNext(status, stage, stages[i + 1], stageIndex.size)
        : next === null || namesNoStage(next)
          ? null
          : indexOf(next, nextField);
    if (bound !== null && bound === stage) throw new ChildError(400, `${nextField} names the stage itself`);
    const packed = packSummary(summary);
    return {
      stage,
      status,
      next: bound,
      digest: hash('sha1', `${status} ${bound} ${packed}`).slice(0, DIGEST_LENGTH),
      summary: packed,
    };
  });
}

/**
 * A summary that says nothing of a next stage has none. But where the same request goes on with another stage, a
 * Completed one led to it: in the agent's spelling there is no place to say so. A Failure never does.
 */
function impliedNext(
  status: number,
  stage: number | null,
  following: number | null | undefined,
  stageCount: number,
): Report['next'] {
  if (following === undefined || status !== StageStatus.Completed) return null;
  if (following !== null) return following === stage ? null : following;
  if (stage === null) return 'following';
  return stage + 1 < stageCount ? stage + 1 : null;
}
