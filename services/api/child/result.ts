/** `POST /result`: answered 200 once the result is in Redis (law 1), tried again while Redis is away: it's sent only once. */
import { hash } from 'node:crypto';
import type { ResultMessage } from '#domain/child/messages.ts';
import { CURRENT_STAGE, FOLLOWING, NO_NEXT, type StageReport } from '#domain/child/report.ts';
import { StageStatus } from '#domain/child/status.ts';
import { packSummary } from '#domain/child/summary.ts';
import { namesNoStage } from '#domain/strategy/strategy.ts';
import { plainResult } from '#wire/child/plain-result.ts';
import { type ChildResult, resultRequest } from '#wire/child/requests.ts';
import type { Entry } from '../cache/release-cache.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';

const DIGEST_LENGTH = 12;

export function createResult({ children, cache, intake, requestTick, redisRetry, clock }: ChildDeps) {
  /** A result that names no stage is about the child's current one, so it can't wait in a queue. */
  async function applyNow(message: ResultMessage): Promise<void> {
    const { id, release } = message;
    const applied = await children.applyNow(message);
    if (applied.code === 'gone') throw unknownChild(id);
    if (applied.code === 'absent') throw notEnrolled(id, release);
    // The periodic tick finds it as well.
    if (applied.code === 'ok' && applied.changed)
      void Promise.all([children.announceChanged([id]), requestTick(release)]).catch(() => {});
  }

  async function accept(result: ChildResult): Promise<void> {
    const { id, release } = result;
    const entry = cache.peek(release) ?? (await cache.get(release));
    if (entry === null) throw new ChildError(404, `release_id: there is no release ${release}`);
    const { shortId } = entry.rollout;
    const reports = reportsOf(result, entry);
    const view = await children.forRelease(id, shortId);
    if (view === null) throw (await children.isKnown(id)) ? notEnrolled(id, release) : unknownChild(id);
    if (!view.known) throw unknownChild(id);
    const message = { kind: 'result', id, release, shortId, reports } as const;
    const isNamed = reports.every(({ stage, next }) => stage !== CURRENT_STAGE && next !== FOLLOWING);
    if (!isNamed) return applyNow({ ...message, at: null, attempt: null });
    await intake.submit({ ...message, at: clock.now(), attempt: view.head.attempt }, { retry: true });
  }

  return {
    /** Answers with nothing, once the result is in Redis. */
    async answer(text: string): Promise<string> {
      const result = plainResult(text) ?? parseJson(text, resultRequest);
      await redisRetry(() => accept(result));
      return '';
    },
  };
}

const unknownChild = (id: string): ChildError => new ChildError(404, `id: there is no child ${id}`);
const notEnrolled = (id: string, release: string): ChildError =>
  new ChildError(409, `release_id: child ${id} is not enrolled in release ${release}`);

/** From what the child said, names of stages and all, to the form in which it's kept. */
function reportsOf({ reports }: ChildResult, { release, stageIndex }: Entry): StageReport[] {
  const indexOf = (name: string, field: string): number => {
    const index = stageIndex.get(name);
    if (index === undefined) throw new ChildError(404, `${field}: release ${release.id} has no stage "${name}"`);
    return index;
  };
  const stages = reports.map(({ stage }, i) =>
    stage === null ? CURRENT_STAGE : indexOf(stage, `stage_summaries[${i}].stage_name`),
  );
  return reports.map(({ status, next, nextField, summary }, i) => {
    const stage = stages[i] ?? CURRENT_STAGE;
    const named = next === undefined ? null : namesNoStage(next) ? NO_NEXT : indexOf(next ?? '', nextField);
    const bound = named ?? impliedNext(status, stage, stages[i + 1], stageIndex.size);
    if (bound >= 0 && bound === stage) throw new ChildError(400, `${nextField} names the stage itself`);
    const packed = packSummary(summary);
    return { stage, status, next: bound, digest: digestOf(status, bound, packed), summary: packed };
  });
}

/** Its words are those of all versions so far: a result that is sent again after an upgrade is known by them. */
function digestOf(status: StageStatus, next: number, packed: string): string {
  const word = next === NO_NEXT ? 'null' : next === FOLLOWING ? 'following' : String(next);
  return hash('sha1', `${status} ${word} ${packed}`).slice(0, DIGEST_LENGTH);
}

/**
 * A summary that says nothing of a next stage has none. But where the same request goes on with another stage, a
 * Completed one led to it: in the agent's spelling there is no place to say so. A Failure never does. `following`: the stage
 * of the next report, if there is one.
 */
function impliedNext(
  status: StageStatus,
  stage: number,
  following: number | undefined,
  stageCount: number,
): StageReport['next'] {
  if (following === undefined || status !== StageStatus.Completed) return NO_NEXT;
  if (following !== CURRENT_STAGE) return following === stage ? NO_NEXT : following;
  if (stage === CURRENT_STAGE) return FOLLOWING;
  return stage + 1 < stageCount ? stage + 1 : NO_NEXT;
}
