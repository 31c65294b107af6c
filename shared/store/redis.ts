import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { defineScripts } from './script.ts';

export type Client = Redis | Cluster;

/** Where Redis is: a URL, or the path of a Unix socket. */
export type RedisAddress = string;

/**
 * `serve` answers requests: it fails at once while Redis is away, so that a poll is shed and doesn't wait. `work` is for
 * workers: it waits for Redis, as BullMQ wants it.
 */
type Purpose = 'serve' | 'work';

const RECONNECT_MAX_MS = 1_000;
const SERVE_TIMEOUT_MS = 5_000;

export function connectRedis(address: RedisAddress, purpose: Purpose, onError: (error: Error) => void): Client {
  const retryStrategy = (times: number): number => Math.min(50 * times, RECONNECT_MAX_MS);
  const options = {
    retryStrategy,
    // A master that was demoted without dropping its connections: the name may lead to the new one by now.
    reconnectOnError: (error: Error): 2 | false => (error.message.startsWith('READONLY') ? 2 : false),
    ...(purpose === 'serve'
      ? { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: SERVE_TIMEOUT_MS }
      : { maxRetriesPerRequest: null }),
  } satisfies RedisOptions;
  const client = open(address, options, retryStrategy, purpose);
  defineScripts(client);
  client.on('error', onError);
  return client;
}

type ConnectionOptions = Pick<
  RedisOptions,
  'reconnectOnError' | 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout'
>;

function open(address: string, options: ConnectionOptions, retry: (times: number) => number, purpose: Purpose): Client {
  if (address.startsWith('redis+cluster://')) {
    const nodes = address
      .slice('redis+cluster://'.length)
      .split(',')
      .map((node) => {
        const { hostname, port } = new URL(`redis://${node}`);
        return { host: hostname, port: Number(port || 6379) };
      });
    return new Cluster(nodes, {
      redisOptions: options,
      clusterRetryStrategy: retry,
      enableOfflineQueue: purpose === 'work',
    });
  }
  return /^rediss?:/.test(address)
    ? new Redis(address, options)
    : new Redis({ ...options, path: address.replace(/^unix:\/\//, '') });
}

export const isClusterAddress = (address: RedisAddress): boolean => address.startsWith('redis+cluster://');

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
  /\b(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|MISCONF|OOM|MASTERDOWN|NOREPLICAS|NOSCRIPT|UNKILLABLE|NOAUTH|NOPERM|WRONGPASS)\b|max number of clients/;
/** ioredis has no error classes for most of what a lost connection does to a command. */
const LOST =
  /Connection is closed|isn't writeable|timed out|closed unexpectedly|connection to Redis was closed|pipeline was dropped|max retries per request|Cluster isn't ready|startup nodes|Too many Cluster redirections|Cluster is disconnected/i;
const LOST_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND']);

const isReply = (error: Error): boolean => error.name === 'ReplyError';

/** Redis was away or in trouble: says nothing about the command. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
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
