/** `POST /poll`: one read; a write only for what changed, and that goes through the queue. */
import { createHash, randomUUID } from 'node:crypto';
import { offers } from '#domain/rollout.ts';
import type { PollView } from '#store/child-store.ts';
import { pollRequest } from '#wire/child.ts';
import { readJson } from './body.ts';
import type { ChildDeps, ChildHandler } from './deps.ts';
import { ChildError } from './errors.ts';

type Poll = { id: string; area: string; areaDigest: string; childCount: number };

export function pollHandler({ config, children, cache, intake, signs, load, clock }: ChildDeps): ChildHandler {
  async function join(poll: Poll): Promise<void> {
    await intake.submit({ k: 'join', at: clock.now(), ...poll }, false);
  }

  function noteSign(id: string, view: PollView): void {
    const stale = clock.now() - view.lastSeen > config.seenPrecisionMs;
    const suspect = view.underway !== null && !view.left;
    if (stale || suspect) signs.note({ id, release: view.underway ?? '', kind: 'poll' });
  }

  async function firstOffer({ offers: pending }: PollView): Promise<string> {
    for (const { release, epoch } of pending) {
      let entry = await cache.get(release);
      // An offer newer than the copy of its rollout: the news of the start is still on its way.
      if (entry !== null && entry.rollout.epoch < epoch) entry = await cache.reload(release);
      if (entry !== null && offers(entry.rollout, epoch)) return release;
    }
    return '';
  }

  return async (ctx) => {
    const body = await readJson(ctx.req, pollRequest, config.bodyLimit);
    if (load.shedding()) throw new ChildError(503, 'the manager has a backlog, try again');
    const area = JSON.stringify(body.area);
    const id = body.id === '' ? randomUUID() : body.id;
    const poll = { id, area, areaDigest: digestOf(area), childCount: body.childCount };
    const view = body.id === '' ? null : await children.forPoll(id);
    if (view === null) {
      if (load.full()) throw new ChildError(503, 'the manager takes no more children');
      await join(poll);
      ctx.body = { id, new_release: '' };
      return;
    }
    if (view.areaDigest !== poll.areaDigest || view.childCount !== poll.childCount) await join(poll);
    noteSign(id, view);
    ctx.body = { id, new_release: await firstOffer(view) };
  };
}

const digestOf = (area: string): string => createHash('sha1').update(area).digest('hex').slice(0, 16);
