import { describe, expect, it } from 'vitest';
import { loadConfig } from '#runtime/config.ts';
import { parseAddress } from '#runtime/redis-address.ts';

describe('an address of Redis', () => {
  it.each([
    ['redis://h:1/2', { kind: 'url', url: 'redis://h:1/2' }],
    ['rediss://u:p@h:1', { kind: 'url', url: 'rediss://u:p@h:1' }],
    ['/tmp/redis.sock', { kind: 'socket', path: '/tmp/redis.sock' }],
    [
      'redis+cluster://a:1,b',
      {
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 1 },
          { host: 'b', port: 6379 },
        ],
        credentials: {},
      },
    ],
    [
      'redis+cluster://ops:s%40crets@a:1',
      { kind: 'cluster', nodes: [{ host: 'a', port: 1 }], credentials: { username: 'ops', password: 's@crets' } },
    ],
    [
      'redis+sentinel://:p@a,b:2/main',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 2 },
        ],
        name: 'main',
        credentials: { password: 'p' },
      },
    ],
  ])('%s', (address, parsed) => {
    expect(parseAddress(address)).toEqual(parsed);
  });

  it.each(['redis+cluster://a:1,:2', 'redis+cluster://a:99999', 'redis+sentinel://a', 'redis+other://a'])(
    'is not %s',
    (address) => {
      expect(() => parseAddress(address)).toThrow();
    },
  );

  it.each(['http://a', 'redis+cluster://', 'redis+cluster://a:b', 'redis+sentinel://a:1', 'redis+sentinel://a:1/'])(
    '%s is refused at the start, by the name of its variable',
    (REDIS_URL) => {
      expect(() => loadConfig('worker', { REDIS_URL })).toThrow(/^REDIS_URL /);
    },
  );
});
