/** News of children: their enrolment, what their results came to. Workers announce it, every API process listens. */
import type { Client } from '#store/connection/client.ts';

export type Follower = {
  changed(ids: readonly string[]): void;
  /** News may be missed from now on. */
  disconnected(): void;
  /** News may have been missed. */
  reconnected(): void;
};
export type ChildChanges = { follow(follower: Follower): void };

export async function followChildChanges(subscriber: Client, channel: string): Promise<ChildChanges> {
  const followers: Follower[] = [];
  subscriber.on('message', (from: string, text: string) => {
    if (from !== channel) return;
    const ids = text.split(' ');
    for (const follower of followers) follower.changed(ids);
  });
  subscriber.on('close', () => {
    for (const follower of followers) follower.disconnected();
  });
  subscriber.on('ready', () => {
    for (const follower of followers) follower.reconnected();
  });
  await subscriber.subscribe(channel);
  return { follow: (follower) => void followers.push(follower) };
}
