/** News of children: their enrolment, what their results came to. Workers announce it, every API process listens. */
import type { Client } from '#store/redis.ts';

export type Follower = {
  moved(ids: readonly string[]): void;
  /** The connection is lost: news may be missed from now on. */
  lost(): void;
  /** It's back: news may have been missed. */
  back(): void;
};
export type Moves = { follow(follower: Follower): void };

export async function followMoves(subscriber: Client, channel: string): Promise<Moves> {
  const followers: Follower[] = [];
  subscriber.on('message', (from: string, text: string) => {
    if (from !== channel) return;
    const ids = text.split(' ');
    for (const follower of followers) follower.moved(ids);
  });
  subscriber.on('close', () => {
    for (const follower of followers) follower.lost();
  });
  subscriber.on('ready', () => {
    for (const follower of followers) follower.back();
  });
  await subscriber.subscribe(channel);
  return { follow: (follower) => void followers.push(follower) };
}
