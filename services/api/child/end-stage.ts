/** `POST /end_stage`: whether a child may end its WaitForSignal stage. At most one read, no write but a rare heartbeat. */
import { gatePassed } from '#domain/membership.ts';
import { type Rollout } from '#domain/rollout.ts';
import { mayEndStage, type StageStatus } from '#domain/status.ts';
import type { RecordHead } from '#store/record-codec.ts';
import { endStageRequest } from '#wire/child.ts';
import { plainEndStage } from '#wire/plain-end-stage.ts';
import type { Gone } from '../waiting.ts';
import { createAskCache, type Standing } from './ask-cache.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';

const SIGN_TAKES_MS = 2_000;
const YES = '{"end_stage":true}';
export const NO = '{"end_stage":false}';

export function createEndStage({ config, children, cache, moves, signs, clock, waiting }: ChildDeps) {
  const asks = createAskCache(clock.now, cache.changes, (standing) => {
    const entry = cache.peek(standing.release);
    if (entry === undefined) return null;
    if (mayEnd(entry.rollout, standing)) return YES;
    return waiting.holds ? null : NO;
  });
  moves.follow(asks);

  async function read(text: string, gone: Gone): Promise<string> {
    const { id, release, stage } = plainEndStage(text) ?? parseJson(text, endStageRequest);
    const entry = cache.peek(release) ?? (await cache.get(release));
    if (entry === null) throw new ChildError(404, `strategy_id: there is no release ${release}`);
    const { tag } = entry.rollout;
    const index = entry.stageIndex.get(stage);
    if (index === undefined) throw new ChildError(404, `stage_name: release ${release} has no stage "${stage}"`);
    const look = async () => {
      const view = await children.forRelease(id, tag);
      if (view === null) throw new ChildError(404, `id: no child ${id} is enrolled in release ${release}`);
      const standing = { id, release, stage: index, ...standingIn(view.head, index) };
      return { view, standing, may: mayEnd((cache.peek(release) ?? entry).rollout, standing) };
    };
    const keep = asks.expect(text, id);
    const { view, standing, may } = await look();
    const until = view.lastSeen + config.seenPrecisionMs;
    const now = clock.now();
    if (view.left || now > until) signs.note({ id, release, tag, kind: 'ask' }, view.left);
    // Its sign of life is on its way: until that is applied the child need not be read at each request.
    if (!view.left) keep({ ...standing, until: Math.max(until, now + SIGN_TAKES_MS) });
    if (may || !waiting.holds) return may ? YES : NO;
    const held = await waiting.hold(id, gone, async () => {
      const again = await look();
      return { done: again.may, value: again.may, wakes: [release] };
    });
    return held === true ? YES : NO;
  }

  return { /** From memory; null where the child has to be read. */ remembered: asks.get, answer: read };
}

const standingIn = ({ statuses, finals, location, n, hand }: RecordHead, stage: number) => ({
  status: Number(statuses[stage]) as StageStatus,
  location,
  n,
  hand,
  end: finals.search(/[1-9]/),
});

/**
 * A child still InProgress is let through only by an operator's hand, or where it takes a release back: there it runs
 * nothing but the version from before.
 */
function mayEnd(rollout: Rollout, { stage, status, location, n, hand, end }: Omit<Standing, 'until'>): boolean {
  if (stage < hand || rollout.plan.compensates !== null) return true;
  return mayEndStage(status, gatePassed(rollout, { id: location, n }, stage, end));
}
