/**
 * What `/end_stage` was asked lately and how its child stood: an agent sends the same bytes every second, so they are known
 * by their text alone, and answered from memory until the child changes. Forgotten when the change is announced, after
 * a while, and all at once when announcements may have been missed.
 */
import type { StageStatus } from '#domain/child/status.ts';
import type { LocationRef } from '#domain/rollout/rollout.ts';

/** Announcements come in a moment; this is for those that don't. */
const KEPT_MS = 5_000;
/** As many as a process can answer in a second, and so all that ask it. Beyond it the memory starts anew. */
const LIMIT = 65_536;

export type Standing = {
  id: string;
  release: string;
  stage: number;
  status: StageStatus;
  location: LocationRef;
  /** An operator has let it pass the gates of the stages before this one. */
  promotedUpTo: number;
  /** The stage with which its release ended, or -1. */
  endedAt: number;
  /** When it must be read again (ms of Redis' clock) so that its last-seen time is kept fresh. */
  until: number;
};

/** `answer` holds as long as no rollout has changed since: `changes` is their count. */
type Entry = { answer: string; changes: number; until: number; standing: Standing | null };

/** `answerTo`: a child's answer as the rollouts stand, or null for one that isn't given from memory. */
export function createEndStageCache(
  now: () => number,
  changes: () => number,
  answerTo: (standing: Standing) => string | null,
) {
  const byText = new Map<string, Entry>();
  const byId = new Map<string, string>();

  const clear = (): void => {
    byText.clear();
    byId.clear();
  };
  return {
    get(text: string): string | null {
      const entry = byText.get(text);
      if (entry === undefined || entry.until < now()) return null;
      // The one comparison that most requests come to.
      if (entry.changes === changes()) return entry.answer;
      const answer = entry.standing === null ? null : answerTo(entry.standing);
      if (answer === null) return null;
      entry.answer = answer;
      entry.changes = changes();
      return answer;
    },

    /** Before the child is read: what is read may be kept only if no change is announced until it's there. */
    expect(text: string, id: string): (standing: Standing) => void {
      if (byText.size >= LIMIT) clear();
      const entry: Entry = { answer: '', changes: -1, until: now() + KEPT_MS, standing: null };
      // A change is announced for a child and drops one text: what it asked before, of another stage, would outlive it.
      const before = byId.get(id);
      if (before !== undefined && before !== text) byText.delete(before);
      byText.set(text, entry);
      byId.set(id, text);
      return (standing) => {
        if (byText.get(text) !== entry) return;
        entry.standing = standing;
        entry.until = Math.min(entry.until, standing.until);
      };
    },

    changed(ids: readonly string[]): void {
      for (const id of ids) {
        const text = byId.get(id);
        if (text === undefined) continue;
        byId.delete(id);
        byText.delete(text);
      }
    },

    disconnected: clear,
    reconnected: clear,
  };
}
