/** Connections to Redis: one server, a cluster, or a master that Sentinels watch. */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { type Credentials, type HostPort, parseAddress, type RedisAddress } from '#runtime/redis-address.ts';
import type { Client } from './client.ts';
import { defineScripts } from './script.ts';

/**
 * `serve` answers requests: it fails at once while Redis is away, so that a poll is shed and doesn't wait. `work` is for
 * workers: it waits for Redis, as BullMQ wants it. `listen` subscribes.
 */
export type Purpose = 'serve' | 'work' | 'listen';

const RECONNECT_MAX_MS = 1_000;
const SERVE_TIMEOUT_MS = 5_000;
/** A server that hangs, or a machine that is gone, closes no connection. Longer than BullMQ waits for a job, 10 s. */
const SILENT_MS = { serve: SERVE_TIMEOUT_MS, work: 13_000, listen: 13_000 } as const;
/** How often a command on a cluster is sent again, a tenth of a second apart: a request has no time for more. */
const REDIRECTIONS = { serve: 5, work: 100 } as const;
/** A cluster's map is asked for this often; in between it's mended by what nodes answer. */
const REFRESH_SLOTS_MS = 5_000;
const SLOTS_TIMEOUT_MS = 2_000;

export function connectRedis(address: RedisAddress, purpose: Purpose, onError: (error: Error) => void): Client {
  const client = open(address, purpose);
  defineScripts(client);
  client.on('error', onError);
  return client;
}

const retryStrategy = (times: number): number => Math.min(50 * times, RECONNECT_MAX_MS);

type ConnectionOptions = Credentials &
  Pick<
    RedisOptions,
    'retryStrategy' | 'socketTimeout' | 'reconnectOnError' | 'maxRetriesPerRequest' | 'commandTimeout'
  >;

function open(address: RedisAddress, purpose: Purpose): Client {
  const options = {
    retryStrategy,
    socketTimeout: SILENT_MS[purpose],
    // A master that was demoted without dropping its connections: the name may lead to the new one by now.
    reconnectOnError: (error: Error): 2 | false => (error.message.startsWith('READONLY') ? 2 : false),
    ...(purpose === 'serve'
      ? { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: SERVE_TIMEOUT_MS }
      : { maxRetriesPerRequest: null }),
  } satisfies RedisOptions;
  const target = parseAddress(address);
  switch (target.kind) {
    case 'url':
      return new Redis(target.url, options);
    case 'socket':
      return new Redis({ ...options, path: target.path });
    case 'sentinel': {
      const { sentinels, name, credentials } = target;
      // Told of a failover by the Sentinels: a dead machine would otherwise be noticed when TCP gives it up.
      return new Redis({
        ...options,
        ...credentials,
        sentinels,
        name,
        sentinelRetryStrategy: retryStrategy,
        failoverDetector: true,
      });
    }
    case 'cluster': {
      const { nodes, credentials } = target;
      if (purpose === 'listen') return listenToOne(nodes, { ...options, ...credentials });
      return new Cluster(nodes, {
        redisOptions: { ...options, ...credentials },
        clusterRetryStrategy: retryStrategy,
        enableOfflineQueue: purpose === 'work',
        maxRedirections: REDIRECTIONS[purpose],
        // A connect() whose check meets a cluster in trouble never settles in ioredis, though the client recovers: after a
        // failover a BullMQ worker would await it for ever. Without the check commands get CLUSTERDOWN, and try again.
        enableReadyCheck: false,
        slotsRefreshTimeout: SLOTS_TIMEOUT_MS,
        ...(purpose === 'serve' && { slotsRefreshInterval: REFRESH_SLOTS_MS }),
      });
    }
  }
}

/**
 * Every node of a cluster passes on what is published on any of them, so one connection is enough. A plain one, which
 * turns to the next node when it's lost: a cluster client changes its subscribing connection and tells nobody that news
 * may have been missed.
 */
function listenToOne(nodes: readonly HostPort[], options: ConnectionOptions): Redis {
  const redis = new Redis({ ...options, ...nodes[0] });
  let turn = 0;
  redis.on('close', () => {
    turn = (turn + 1) % nodes.length;
    Object.assign(redis.options, nodes[turn]);
  });
  return redis;
}
