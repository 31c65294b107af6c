/** `POST /poll`: one read; a write only for what changed, and that goes through the queue. */
import { randomUUID } from 'node:crypto';
import { offers } from '#domain/membership.ts';
import { type Rollout } from '#domain/rollout.ts';
import { packArea } from '#store/area-codec.ts';
import type { Join, PollView } from '#store/child-store.ts';
import { pollRequest } from '#wire/child.ts';
import { plainPoll } from '#wire/plain-poll.ts';
import { parseJson } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { ChildError } from './errors.ts';
import { pollDigest } from './poll-digest.ts';
import type { Gone } from '../waiting.ts';

/** The first member of this name in the text. Whether it's the one that counts is proved by the digest alone. */
const ID = /"id"\s*:\s*"([A-Za-z0-9._:-]{1,128})"/;
const NO_RELEASE = { release: '', tag: '' };

export function createPoll({ children, cache, intake, signs, load, clock, waiting, config }: ChildDeps) {
  function noteSign(id: string, view: PollView): void {
    const stale = clock.now() - view.lastSeen > config.seenPrecisionMs;
    const suspect = view.underway !== null && !view.left;
    if (stale || suspect) signs.note({ id, ...(view.underway ?? NO_RELEASE), kind: 'poll' }, suspect);
  }

  /** Another wording of what is known is taken over only when its child's last-seen time is due anyhow. */
  async function isNews(join: Join, { digest, lastSeen }: PollView): Promise<boolean> {
    if (digest === join.digest) return false;
    if (join.at - lastSeen > config.seenPrecisionMs) return true;
    const { area, childCount } = await children.place(join.id);
    return area !== join.area || childCount !== join.childCount;
  }

  /** Of the releases that it may have now, the one that comes first. */
  async function firstOffer(id: string, { offers: pending }: PollView): Promise<string> {
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

  /** Holds the answer while there is no offer, if answers are held. */
  async function answer(id: string, view: PollView, gone: Gone): Promise<string> {
    noteSign(id, view);
    const release = view.offers.length === 0 ? '' : await firstOffer(id, view);
    if (release !== '' || !waiting.holds) return answerOf(id, release);
    const held = await waiting.hold(id, gone, async () => {
      const now = await children.forPoll(id);
      const offered = now === null ? '' : await firstOffer(id, now);
      return { done: offered !== '', value: offered, wakes: now?.offers.map((offer) => offer.release) ?? [] };
    });
    return answerOf(id, held ?? '');
  }

  /**
   * The answer to a poll that is byte for byte, but for its id, the one that was checked last for its child; null for any
   * other. Its digest was kept when it was checked, so nothing in it has to be looked at again.
   */
  async function known(text: string, gone: Gone): Promise<string | null> {
    const id = ID.exec(text)?.[1];
    if (id === undefined) return null;
    const view = await children.forPoll(id);
    return view === null || view.digest !== pollDigest(text, id) ? null : answer(id, view, gone);
  }

  /** The answer to any poll. Errors: 400; 503 while no more children are taken. */
  async function checked(text: string, gone: Gone): Promise<string> {
    const body = plainPoll(text) ?? parseJson(text, pollRequest);
    const id = body.id === '' ? randomUUID() : body.id;
    const join = {
      id,
      at: clock.now(),
      area: packArea(body.area),
      digest: pollDigest(text, id),
      childCount: body.childCount,
    };
    const view = body.id === '' ? null : await children.forPoll(id);
    if (view === null && load.full()) throw new ChildError(503, 'the manager takes no more children');
    if (view === null || (await isNews(join, view))) await intake.submit({ k: 'join', ...join }, false);
    return view === null ? answerOf(id, '') : answer(id, view, gone);
  }

  return {
    answer: async (text: string, gone: Gone): Promise<string> =>
      (await known(text, gone)) ?? (await checked(text, gone)),
  };
}

const isOlder = ({ epoch, started }: Rollout, offered: number, n: number): boolean =>
  epoch < offered || (epoch === offered && started.locations < n && started.waves < n);

/** Neither id needs an escape in JSON. */
const answerOf = (id: string, release: string): string => `{"id":"${id}","new_release":"${release}"}`;
