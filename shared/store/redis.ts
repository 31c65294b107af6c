import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { type Credentials, type HostPort, parseAddress, type RedisAddress } from '#runtime/redis-address.ts';
import { defineScripts } from './script.ts';

export type Client = Redis | Cluster;

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
  const place = parseAddress(address);
  switch (place.kind) {
    case 'url':
      return new Redis(place.url, options);
    case 'socket':
      return new Redis({ ...options, path: place.path });
    case 'sentinel': {
      const { sentinels, name, credentials } = place;
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
      const { nodes, credentials } = place;
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

/** Resolves once the connection can be used. */
export async function untilReady(client: Client): Promise<void> {
  while (client.status !== 'ready') {
    const { promise, resolve } = Promise.withResolvers<void>();
    client.once('ready', resolve);
    client.once('close', resolve);
    client.once('end', resolve);
    await promise;
    client.off('ready', resolve).off('close', resolve).off('end', resolve);
    if (client.status === 'end') throw new Error('the connection to Redis was closed');
  }
}

/** Answers of a Redis that is starting, full, failing over or locked up: another try makes sense. */
const TROUBLE =
  /\b(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|MOVED|ASK|BUSY|MISCONF|OOM|MASTERDOWN|NOREPLICAS|NOSCRIPT|UNKILLABLE|NOAUTH|NOPERM|WRONGPASS)\b|max number of clients/;
/** ioredis has no error classes for most of what a lost connection does to a command. */
const LOST =
  /Connection is closed|isn't writeable|timed out|Socket timeout|closed unexpectedly|connection to Redis was closed|pipeline was dropped|max retries per request|Cluster isn't ready|startup nodes|Too many Cluster redirections|Cluster is disconnect|Cluster is ended|sentinels are unreachable/i;
const LOST_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND']);

const isReply = (error: Error): boolean => error.name === 'ReplyError';

/** Too few replicas have a write, or nobody can say: it counts as not written. */
export class NotReplicated extends Error {
  override name = 'NotReplicated';
}

/** Redis was away or in trouble: says nothing about the command. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof NotReplicated) return true;
  if (isReply(error)) return TROUBLE.test(error.message);
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return LOST_CODES.has(code) || LOST.test(error.message) || /^Cluster|ClusterAllFailed/.test(error.name);
}

/** Redis answered, and it's the command's own fault: it would be refused for ever. */
export const isRefused = (error: unknown): boolean =>
  error instanceof Error && isReply(error) && !TROUBLE.test(error.message);

/** An error that a script caught for one of its messages, as the error that Redis would have answered with. */
export const replyError = (text: string): Error => Object.assign(new Error(text), { name: 'ReplyError' });

/** Results of a pipeline; the first error of any command is thrown. */
export function unwrap(results: [Error | null, unknown][] | null): unknown[] {
  if (results === null) throw new Error('the pipeline was dropped');
  return results.map(([error, value]) => {
    if (error !== null) throw error;
    return value;
  });
}
