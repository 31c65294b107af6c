/** `POST /end_stage`: whether a child may end its WaitForSignal stage. At most one read, no write but a rare heartbeat. */
import { mayEndStage, type StageStatus } from '#domain/child/status.ts';
import { isGateOpen } from '#domain/rollout/membership.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { ReleaseView } from '#store/children/child-views.ts';
import type { RecordHead } from '#store/children/record-codec.ts';
import { plainEndStage } from '#wire/child/plain-end-stage.ts';
import { endStageRequest } from '#wire/child/requests.ts';
import { createEndStageCache, type Standing } from '../cache/end-stage-cache.ts';
import type { OnGone } from '../long-poll/long-poll.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';

const HEARTBEAT_TAKES_MS = 2_000;
const YES = '{"end_stage":true}';
export const NO = '{"end_stage":false}';

/** `may`: it may end the stage now. */
type Seen = { view: ReleaseView; standing: Omit<Standing, 'until'>; may: boolean };

export function createEndStage({ config, children, cache, childChanges, heartbeats, clock, longPoll }: ChildDeps) {
  const remembered = createEndStageCache(clock.now, cache.changes, (standing) => {
    const entry = cache.peek(standing.release);
    if (entry === undefined) return null;
    if (mayEnd(entry.rollout, standing)) return YES;
    return longPoll.isOn ? null : NO;
  });
  childChanges.follow(remembered);

  /** How to read the child of a request, as often as it takes. */
  async function readerOf(id: string, release: string, stage: string): Promise<() => Promise<Seen>> {
    const entry = cache.peek(release) ?? (await cache.get(release));
    if (entry === null) throw new ChildError(404, `strategy_id: there is no release ${release}`);
    const index = entry.stageIndex.get(stage);
    if (index === undefined) throw new ChildError(404, `stage_name: release ${release} has no stage "${stage}"`);
    return async () => {
      const view = await children.forRelease(id, entry.rollout.shortId);
      if (view === null) throw new ChildError(404, `id: no child ${id} is enrolled in release ${release}`);
      const standing = { id, release, stage: index, ...standingIn(view.head, index) };
      return { view, standing, may: mayEnd((cache.peek(release) ?? entry).rollout, standing) };
    };
  }

  function noteHeartbeat(id: string, release: string, { lastSeen, left }: ReleaseView): void {
    const { shortId = '' } = cache.peek(release)?.rollout ?? {};
    const isDue = clock.now() > lastSeen + config.seenPrecisionMs;
    if (left || isDue) heartbeats.note({ id, release, shortId, by: 'end_stage' }, left);
  }

  async function answer(text: string, onGone: OnGone): Promise<string> {
    const { id, release, stage } = plainEndStage(text) ?? parseJson(text, endStageRequest);
    const read = await readerOf(id, release, stage);
    const keep = remembered.expect(text, id);
    const { view, standing, may } = await read();
    noteHeartbeat(id, release, view);
    const until = Math.max(view.lastSeen + config.seenPrecisionMs, clock.now() + HEARTBEAT_TAKES_MS);
    // Its heartbeat is on its way: until that is applied the child need not be read at each request.
    if (!view.left) keep({ ...standing, until });
    if (may || !longPoll.isOn) return may ? YES : NO;
    const parked = await longPoll.park({
      id,
      onGone,
      async check() {
        const again = await read();
        return { done: again.may, value: again.may, wakes: [release] };
      },
    });
    return parked === true ? YES : NO;
  }

  return { /** From memory; null where the child has to be read. */ remembered: remembered.get, answer };
}

const standingIn = ({ statuses, finals, membership, promotedUpTo }: RecordHead, stage: number) => ({
  status: Number(statuses[stage]) as StageStatus,
  location: membership,
  promotedUpTo,
  endedAt: finals.search(/[1-9]/),
});

/**
 * A child still InProgress passes only where an operator has promoted it, or where it takes a release back: there it runs
 * nothing but the version from before.
 */
function mayEnd(
  rollout: Rollout,
  { stage, status, location, promotedUpTo, endedAt }: Omit<Standing, 'until'>,
): boolean {
  if (stage < promotedUpTo || rollout.plan.compensates !== null) return true;
  return mayEndStage(status, isGateOpen(rollout, location, stage, endedAt));
}
