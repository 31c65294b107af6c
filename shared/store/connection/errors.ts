/** What errors of Redis, and of connections to it, say about a command. */

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
