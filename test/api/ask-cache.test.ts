/** What `/end_stage` was asked, kept in memory: never an answer from before a move. */
import { describe, expect, it } from 'vitest';
import { StageStatus } from '#domain/status.ts';
import { createAskCache, type Standing } from '#services/api/child/ask-cache.ts';

const standing = (id: string, stage: number): Standing => ({
  id,
  release: '21',
  stage,
  status: StageStatus.SuccessWaiting,
  location: 'all',
  n: 1,
  hand: 0,
  end: -1,
  until: 60_000,
});

describe('the memory of asks', () => {
  it('forgets a child that moved, whichever stages it asked for', () => {
    const asks = createAskCache(
      () => 1,
      () => 0,
      () => 'yes',
    );
    asks.expect('c1 A', 'c1')(standing('c1', 0));
    asks.expect('c2 A', 'c2')(standing('c2', 0));
    expect(asks.get('c1 A')).toBe('yes');
    asks.expect('c1 B', 'c1')(standing('c1', 1));
    expect(asks.get('c1 B')).toBe('yes');
    asks.moved(['c1']);
    expect(asks.get('c1 A')).toBeNull();
    expect(asks.get('c1 B')).toBeNull();
    expect(asks.get('c2 A')).toBe('yes');
  });

  it('keeps nothing that was read for an older question once there is another', () => {
    const asks = createAskCache(
      () => 1,
      () => 0,
      () => 'yes',
    );
    const keepOld = asks.expect('c1 A', 'c1');
    asks.expect('c1 B', 'c1')(standing('c1', 1));
    keepOld(standing('c1', 0));
    expect(asks.get('c1 A')).toBeNull();
    expect(asks.get('c1 B')).toBe('yes');
  });
});
