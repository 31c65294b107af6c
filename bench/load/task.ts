/** What a load generator is told to do, and what it tells of it. */
export type Task = {
  port: number;
  method: 'GET' | 'POST';
  path: string;
  connections: number;
  /** How long, unless `count` says how many. */
  seconds: number;
  count?: number;
  body: 'none' | 'poll' | 'join' | 'end_stage' | 'result';
  /** Children go by `<prefix>-<n>`, or by ids as long as UUIDs (see bench/lib/populate.ts). */
  prefix: string;
  longIds: boolean;
  children: number;
  /** The first child's number. */
  from: number;
  release: string;
  stage: string;
  next: string;
};

export type Outcome = {
  requests: number;
  perSecond: number;
  /** When the first request was sent: milliseconds since 1970. */
  startedAt: number;
  failed: number;
  firstFailure: string;
  /** Milliseconds. */
  p50: number;
  p99: number;
};

const DEFAULTS: Task = {
  port: 0,
  method: 'POST',
  path: '/',
  connections: 50,
  seconds: 2,
  body: 'none',
  prefix: 'b',
  longIds: false,
  children: 10_000,
  from: 0,
  release: '',
  stage: '',
  next: '',
};
export const taskOf = (task: Partial<Task>): Task => ({ ...DEFAULTS, ...task });

/** An open loop of several kinds of requests, each at its own rate. */
export type PaceTask = {
  port: number;
  connections: number;
  seconds: number;
  streams: (Partial<Task> & { perSecond: number })[];
};
