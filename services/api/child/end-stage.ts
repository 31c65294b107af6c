/** `POST /end_stage`: whether a child may end its WaitForSignal stage. One read, no write but a rare heartbeat. */
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { gatePassed } from '#domain/rollout.ts';
import { mayEndStage, type StageStatus } from '#domain/status.ts';
import { endStageRequest } from '#wire/child.ts';
import type { Gone } from '../waiting.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';

export type EndStage = ReturnType<typeof createEndStage>;

type Asked = { id: string; release: string; stage: string };

export function createEndStage({ config, children, cache, signs, clock, waiting }: ChildDeps) {
  async function answer({ id, release, stage }: Asked, gone: Gone): Promise<string> {
    const entry = cache.peek(release) ?? (await cache.get(release));
    if (entry === null) throw new ChildError(404, `strategy_id: there is no release ${release}`);
    const { tag } = entry.rollout;
    const index = entry.stageIndex.get(stage);
    if (index === undefined) throw new ChildError(404, `stage_name: release ${release} has no stage "${stage}"`);
    const look = async () => {
      const view = await children.forRelease(id, tag);
      if (view === null) throw new ChildError(404, `id: no child ${id} is enrolled in release ${release}`);
      const { statuses, finals, location } = view.head;
      const { rollout } = cache.peek(release) ?? entry;
      const passed = gatePassed(rollout, location, index, finals.search(/[1-9]/));
      return { view, may: mayEndStage(Number(statuses[index]) as StageStatus, passed) };
    };
    const { view, may } = await look();
    if (view.left || clock.now() - view.lastSeen > config.seenPrecisionMs)
      signs.note({ id, release, tag, kind: 'ask' });
    if (may || !waiting.holds) return may ? YES : NO;
    const held = await waiting.hold(id, gone, async () => {
      const now = await look();
      return { done: now.may, value: now.may, wakes: [release] };
    });
    return held === true ? YES : NO;
  }

  return {
    answer: (text: string, gone: Gone): Promise<string> =>
      answer(plainly(text) ?? parseJson(text, endStageRequest), gone),
  };
}

const YES = '{"end_stage":true}';
const NO = '{"end_stage":false}';

/** What an agent asks every second, checked without a schema; null for anything that isn't plainly that. */
function plainly(text: string): Asked | null {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof body !== 'object' || body === null) return null;
  const { id, strategy_id: release, stage_name: stage } = body as Record<string, unknown>;
  if (typeof id !== 'string' || typeof release !== 'string' || typeof stage !== 'string' || stage === '') return null;
  return CHILD_ID.test(id) && RELEASE_ID.test(release) ? { id, release, stage } : null;
}
