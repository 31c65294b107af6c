/** `POST /poll`: one read; a write only for what changed, and that goes through the queue. */
import type { PollView } from '#store/children/child-views.ts';
import { randomUUID } from 'node:crypto';
import type { JoinMessage } from '#domain/child/messages.ts';
import { offers } from '#domain/rollout/membership.ts';
import { type Rollout } from '#domain/rollout/rollout.ts';
import { packArea } from '#store/children/area-codec.ts';
import { pollRequest } from '#wire/child/requests.ts';
import { plainPoll } from '#wire/child/plain-poll.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';
import { pollDigest } from './poll-digest.ts';
import type { OnGone } from '../long-poll/long-poll.ts';

/** The first member of this name in the text. Whether it's the one that counts is proved by the digest alone. */
const ID = /"id"\s*:\s*"([A-Za-z0-9._:-]{1,128})"/;
const NO_RELEASE = { release: '', shortId: '' };

export function createPoll(deps: ChildDeps) {
  return {
    answer: async (text: string, onGone: OnGone): Promise<string> =>
      (await known(deps, text, onGone)) ?? (await checked(deps, text, onGone)),
  };
}

/**
 * The answer to a poll that is byte for byte, but for its id, the one that was checked last for its child; null for any
 * other. Its digest was kept when it was checked, so nothing in it has to be read again.
 */
async function known(deps: ChildDeps, text: string, onGone: OnGone): Promise<string | null> {
  const id = ID.exec(text)?.[1];
  if (id === undefined) return null;
  const view = await deps.children.forPoll(id);
  return view === null || view.digest !== pollDigest(text, id) ? null : answer(deps, id, view, onGone);
}

/** The answer to any poll. Errors: 400; 503 while no more children are taken. */
async function checked(deps: ChildDeps, text: string, onGone: OnGone): Promise<string> {
  const { children, load, intake, clock } = deps;
  const body = plainPoll(text) ?? parseJson(text, pollRequest);
  const id = body.id === '' ? randomUUID() : body.id;
  const join: JoinMessage = {
    kind: 'join',
    id,
    at: clock.now(),
    area: packArea(body.area),
    digest: pollDigest(text, id),
    childCount: body.childCount,
  };
  const view = body.id === '' ? null : await children.forPoll(id);
  if (view === null && load.full()) throw new ChildError(503, 'the manager takes no more children');
  if (view === null || (await isNews(deps, join, view))) await intake.submit(join, { retry: false });
  return view === null ? answerOf(id, '') : answer(deps, id, view, onGone);
}

/** Parks the poll while there is no offer, if long polls are on. */
async function answer(deps: ChildDeps, id: string, view: PollView, onGone: OnGone): Promise<string> {
  const { children, longPoll } = deps;
  noteHeartbeat(deps, id, view);
  const release = view.offers.length === 0 ? '' : await firstOffer(deps, id, view);
  if (release !== '' || !longPoll.isOn) return answerOf(id, release);
  const parked = await longPoll.park({
    id,
    onGone,
    async check() {
      const now = await children.forPoll(id);
      const offered = now === null ? '' : await firstOffer(deps, id, now);
      return { done: offered !== '', value: offered, wakes: now?.offers.map((offer) => offer.release) ?? [] };
    },
  });
  return answerOf(id, parked ?? '');
}

function noteHeartbeat({ clock, config, heartbeats }: ChildDeps, id: string, view: PollView): void {
  const stale = clock.now() - view.lastSeen > config.seenPrecisionMs;
  const suspect = view.underway !== null && !view.left;
  if (stale || suspect) heartbeats.note({ id, ...(view.underway ?? NO_RELEASE), by: 'poll' }, suspect);
}

/** Another wording of what is known is taken over only when its child's last-seen time is due anyhow. */
async function isNews(
  { children, config }: ChildDeps,
  join: JoinMessage,
  { digest, lastSeen }: PollView,
): Promise<boolean> {
  if (digest === join.digest) return false;
  if (join.at - lastSeen > config.seenPrecisionMs) return true;
  const { area, childCount } = await children.areaOf(join.id);
  return area !== join.area || childCount !== join.childCount;
}

/** Of the releases that it may have now, the one that comes first. */
async function firstOffer({ cache }: ChildDeps, id: string, { offers: pending }: PollView): Promise<string> {
  let first: { release: string; priority: number } | null = null;
  for (const { release, epoch, n } of pending) {
    let entry = await cache.get(release);
    // An offer newer than the copy of its rollout: the news of the start is still on its way.
    if (entry !== null && isOlder(entry.rollout, epoch, n)) entry = await cache.reload(release);
    if (entry === null || !offers(entry.rollout, epoch, { id, n })) continue;
    const { priority } = entry.rollout.plan;
    if (first === null || priority > first.priority) first = { release, priority };
  }
  return first?.release ?? '';
}

const isOlder = ({ epoch, started }: Rollout, offered: number, n: number): boolean =>
  epoch < offered || (epoch === offered && started.locations < n && started.waves < n);

/** Neither id needs an escape in JSON. */
const answerOf = (id: string, release: string): string => `{"id":"${id}","new_release":"${release}"}`;
