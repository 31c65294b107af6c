/** Settings that had another name are refused, so that nobody sets one that does nothing. */
import { describe, expect, it } from 'vitest';
import { ConfigError, dataEnvironment, loadConfig } from '#runtime/config.ts';

const API = { REDIS_URL: 'redis://h:1', OPERATOR_TOKEN: 'a-long-token' };

describe('a setting that has another name now', () => {
  it.each([
    ['HOLD_MS', 'LONG_POLL_MS'],
    ['HOLD_LIMIT', 'LONG_POLL_LIMIT'],
    ['RESULT_HOLD_MS', 'REDIS_RETRY_MS'],
  ])('%s is refused in a sentence that gives the new name, %s', (old, name) => {
    const sentence = `${old} is called ${name} now: set ${name} instead`;
    expect(() => loadConfig('api', { ...API, [old]: '1000' })).toThrow(new ConfigError(sentence));
    // Beside the new one, too, and by commands that work on the data alone.
    expect(() => loadConfig('api', { ...API, [old]: '1000', [name]: '1000' })).toThrow(new ConfigError(sentence));
    expect(() => dataEnvironment({ [old]: '1000' })).toThrow(new ConfigError(sentence));
  });

  it('is told of together with the others', () => {
    const environment = { ...API, HOLD_MS: '1', HOLD_LIMIT: '2', RESULT_HOLD_MS: '3' };
    expect(() => loadConfig('api', environment)).toThrow(
      [
        'HOLD_MS is called LONG_POLL_MS now: set LONG_POLL_MS instead',
        'HOLD_LIMIT is called LONG_POLL_LIMIT now: set LONG_POLL_LIMIT instead',
        'RESULT_HOLD_MS is called REDIS_RETRY_MS now: set REDIS_RETRY_MS instead',
      ].join('\n'),
    );
  });

  it('may be there empty, which is how files say "unset"', () => {
    expect(loadConfig('api', { ...API, HOLD_MS: '', HOLD_LIMIT: '', RESULT_HOLD_MS: '' })).toEqual(
      loadConfig('api', API),
    );
  });

  it('does its work under the new name', () => {
    const environment = { ...API, LONG_POLL_MS: '1', LONG_POLL_LIMIT: '2', REDIS_RETRY_MS: '3' };
    expect(loadConfig('api', environment)).toMatchObject({ longPollMs: 1, longPollLimit: 2, redisRetryMs: 3 });
  });
});
