/** `POST /end_stage`: whether a child may end its WaitForSignal stage. One round trip, no write but a rare heartbeat. */
import { gatePassed } from '#domain/rollout.ts';
import { mayEndStage } from '#domain/status.ts';
import { endStageRequest } from '#wire/child.ts';
import { readJson } from './body.ts';
import type { ChildDeps, ChildHandler } from './deps.ts';
import { ChildError } from './errors.ts';

export function endStageHandler({ config, children, cache, signs, clock }: ChildDeps): ChildHandler {
  return async (ctx) => {
    const { id, release, stage } = await readJson(ctx.req, endStageRequest, config.bodyLimit);
    const entry = await cache.get(release);
    if (entry === null) throw new ChildError(404, `strategy_id: there is no release ${release}`);
    const index = entry.stageIndex.get(stage);
    if (index === undefined) throw new ChildError(404, `stage_name: release ${release} has no stage "${stage}"`);
    const view = await children.forEndStage(id, release);
    if (view === null) throw new ChildError(404, `id: no child ${id} is enrolled in release ${release}`);
    if (view.left || clock.now() - view.lastSeen > config.seenPrecisionMs) signs.note({ id, release, kind: 'ask' });
    const status = view.stages[index] ?? 0;
    ctx.body = { end_stage: mayEndStage(status, gatePassed(entry.rollout, view.location, index, view.end)) };
  };
}
