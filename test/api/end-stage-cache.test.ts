/** What `/end_stage` was asked, kept in memory: never an answer from before a change. */
import { describe, expect, it } from 'vitest';
import { StageStatus } from '#domain/child/status.ts';
import { createEndStageCache, type Standing } from '#services/api/cache/end-stage-cache.ts';

const standing = (id: string, stage: number): Standing => ({
  id,
  release: '21',
  stage,
  status: StageStatus.SuccessWaiting,
  location: { id: 'all', n: 1 },
  promotedUpTo: 0,
  endedAt: -1,
  until: 60_000,
});

describe('the memory of questions', () => {
  it('forgets a child that changed, whichever stages it asked for', () => {
    const cache = createEndStageCache(
      () => 1,
      () => 0,
      () => 'yes',
    );
    cache.expect('c1 A', 'c1')(standing('c1', 0));
    cache.expect('c2 A', 'c2')(standing('c2', 0));
    expect(cache.get('c1 A')).toBe('yes');
    cache.expect('c1 B', 'c1')(standing('c1', 1));
    expect(cache.get('c1 B')).toBe('yes');
    cache.changed(['c1']);
    expect(cache.get('c1 A')).toBeNull();
    expect(cache.get('c1 B')).toBeNull();
    expect(cache.get('c2 A')).toBe('yes');
  });

  it('keeps nothing that was read for an older question once there is another', () => {
    const cache = createEndStageCache(
      () => 1,
      () => 0,
      () => 'yes',
    );
    const keepOld = cache.expect('c1 A', 'c1');
    cache.expect('c1 B', 'c1')(standing('c1', 1));
    keepOld(standing('c1', 0));
    expect(cache.get('c1 A')).toBeNull();
    expect(cache.get('c1 B')).toBe('yes');
  });
});
