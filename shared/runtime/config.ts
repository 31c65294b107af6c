/** The only reader of the environment. Everything is checked before anything opens. */
import { z } from 'zod';
import { parseAddress } from './redis-address.ts';

export type Role = 'all' | 'api' | 'worker' | 'scheduler';

const UNITS = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 } as const;
const SIZES = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 } as const;
const DEFAULT_PORT = { all: 9998, api: 9998, worker: 9997, scheduler: 9996 } as const satisfies Record<Role, number>;

const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'is a duration such as 500ms, 30s, 5m, 12h or 7d')
  .transform((text) => parseInt(text, 10) * UNITS[text.replace(/^\d+/, '') as keyof typeof UNITS]);
const bytes = z
  .string()
  .regex(/^\d+(b|kb|mb|gb)$/i, 'is a size such as 256kb or 32mb')
  .transform((text) => parseInt(text, 10) * SIZES[text.replace(/^\d+/, '').toLowerCase() as keyof typeof SIZES])
  .refine((n) => n > 0 && n <= 512 * SIZES.mb, 'lies between 1b and 512mb');
const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'is a whole number')
    .transform(Number)
    .refine((n) => n >= min && n <= max, `lies between ${min} and ${max}`);
const filled = z.string().min(1, 'is empty');

const schema = z.object({
  PORT: whole(0, 65535).optional(),
  HOST: filled.default('127.0.0.1'),
  REDIS_URL: z
    .string()
    .regex(
      /^(redis(s|\+cluster|\+sentinel)?|unix):\/\/\S+$/,
      'starts with redis://, rediss://, redis+cluster://, redis+sentinel:// or unix://',
    )
    .superRefine((url, context) => {
      try {
        parseAddress(url);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
      }
    })
    .optional(),
  DATA_DIR: filled.default('./data'),
  OPERATOR_TOKEN: z.string().min(8, 'has at least 8 characters').optional(),
  PARTITIONS: whole(1, 1024).optional(),
  KEY_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'is 1 to 32 letters, digits, _ or -')
    .default('uc'),
  RELEASES_DIR: filled.optional(),
  FRESH_FOR: duration.prefault('5m'),
  SEEN_PRECISION: duration.prefault('30s'),
  FORGET_AFTER: duration.prefault('7d'),
  BODY_LIMIT: bytes.prefault('256kb'),
  BUNDLE_LIMIT: bytes.prefault('32mb'),
  MAX_CHILDREN: whole(0, 1e9).prefault('0'),
  BACKLOG_LIMIT: whole(1, 1e9).prefault('10000'),
  REDIS_RETRY_MS: whole(0, 600_000).prefault('30000'),
  LONG_POLL_MS: whole(0, 600_000).prefault('0'),
  LONG_POLL_LIMIT: whole(1, 1e6).prefault('50000'),
  POLL_AFTER: duration.prefault('3s'),
  IN_FLIGHT_LIMIT: whole(1, 1e6).prefault('5000'),
  LAG_LIMIT_MS: whole(1, 60_000).prefault('500'),
  ACK_REPLICAS: whole(0, 16).prefault('0'),
  API_PROCESSES: whole(1, 256).prefault('1'),
  WORKER_PROCESSES: whole(1, 256).prefault('1'),
  KEEP_RELEASES: duration.prefault('30d'),
  DRAIN_GRACE: duration.prefault('4s').refine((ms) => ms <= 5_000, 'is at most 5s'),
  PATH: z.string().default(''),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});

export type Config = {
  role: Role;
  host: string;
  port: number;
  /** Unset: the process that runs all roles brings a Redis of its own. */
  redisUrl: string | undefined;
  dataDir: string;
  operatorToken: string | undefined;
  /** Unset: what is stored, or the default at the first start. */
  partitions: number | undefined;
  keyPrefix: string;
  releasesDir: string | undefined;
  freshForMs: number;
  seenPrecisionMs: number;
  forgetAfterMs: number;
  bodyLimit: number;
  bundleLimit: number;
  maxChildren: number;
  /** Batches waiting per partition above which polls are shed. */
  backlogLimit: number;
  /** How long a result or a download is tried again while Redis is away. */
  redisRetryMs: number;
  /** How long a request with nothing to say yet is parked; 0: not at all. */
  longPollMs: number;
  longPollLimit: number;
  /** When an idle child is asked to poll again. */
  pollAfterMs: number;
  /** Child requests in hand, and the event loop's mean delay, above which polls are shed. */
  inFlightLimit: number;
  lagLimitMs: number;
  /** Replicas that must have a result before it's acknowledged. */
  ackReplicas: number;
  apiProcesses: number;
  workerProcesses: number;
  keepReleasesMs: number;
  /** How long a stopped API keeps idle connections for one more request. */
  drainGraceMs: number;
  /** Folders with programs: one of them holds the embedded Redis. */
  path: string;
  logLevel: string;
};

/** A wrong setting, in a sentence that names the variable. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Settings that had another name, and misled by it. */
const RENAMED: Readonly<Record<string, string>> = {
  HOLD_MS: 'LONG_POLL_MS',
  HOLD_LIMIT: 'LONG_POLL_LIMIT',
  RESULT_HOLD_MS: 'REDIS_RETRY_MS',
};

function parse(environment: Environment): z.infer<typeof schema> {
  // An empty variable is how compose files and shells say "unset".
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const renamed = Object.entries(RENAMED).filter(([old]) => given[old] !== undefined);
  if (renamed.length > 0)
    throw new ConfigError(renamed.map(([old, name]) => `${old} is called ${name} now: set ${name} instead`).join('\n'));
  const parsed = schema.safeParse(given);
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues
        .map(({ path: [name], message }) => `${String(name)} ${message}; it is "${given[String(name)]}"`)
        .join('\n'),
    );
  return parsed.data;
}

/** Where the data is, for a tool that works on it while no manager runs. */
export function dataEnvironment(
  environment: Environment = process.env,
): Pick<Config, 'redisUrl' | 'dataDir' | 'path' | 'keyPrefix' | 'logLevel'> {
  const { REDIS_URL, DATA_DIR, PATH, KEY_PREFIX, LOG_LEVEL } = parse(environment);
  return { redisUrl: REDIS_URL, dataDir: DATA_DIR, path: PATH, keyPrefix: KEY_PREFIX, logLevel: LOG_LEVEL };
}

export function loadConfig(role: Role, environment: Environment = process.env): Config {
  const env = parse(environment);
  if (role !== 'all' && env.REDIS_URL === undefined)
    throw new ConfigError(`REDIS_URL is needed to run the ${role} alone; only "npm start" brings a Redis of its own`);
  if (env.REDIS_URL !== undefined && env.OPERATOR_TOKEN === undefined && (role === 'all' || role === 'api'))
    throw new ConfigError('OPERATOR_TOKEN is needed when REDIS_URL is set, so that all API processes share one');
  if (env.ACK_REPLICAS > 0 && env.REDIS_URL === undefined)
    throw new ConfigError('ACK_REPLICAS needs REDIS_URL: the Redis that "npm start" brings has no replicas');
  if (env.FRESH_FOR < 2 * env.SEEN_PRECISION)
    throw new ConfigError('FRESH_FOR is at least twice SEEN_PRECISION: a last-seen time is that imprecise');
  return {
    role,
    host: env.HOST,
    port: env.PORT ?? DEFAULT_PORT[role],
    redisUrl: env.REDIS_URL,
    dataDir: env.DATA_DIR,
    operatorToken: env.OPERATOR_TOKEN,
    partitions: env.PARTITIONS,
    keyPrefix: env.KEY_PREFIX,
    releasesDir: env.RELEASES_DIR,
    freshForMs: env.FRESH_FOR,
    seenPrecisionMs: env.SEEN_PRECISION,
    forgetAfterMs: env.FORGET_AFTER,
    bodyLimit: env.BODY_LIMIT,
    bundleLimit: env.BUNDLE_LIMIT,
    maxChildren: env.MAX_CHILDREN,
    backlogLimit: env.BACKLOG_LIMIT,
    redisRetryMs: env.REDIS_RETRY_MS,
    longPollMs: env.LONG_POLL_MS,
    longPollLimit: env.LONG_POLL_LIMIT,
    pollAfterMs: env.POLL_AFTER,
    inFlightLimit: env.IN_FLIGHT_LIMIT,
    lagLimitMs: env.LAG_LIMIT_MS,
    ackReplicas: env.ACK_REPLICAS,
    apiProcesses: env.API_PROCESSES,
    workerProcesses: env.WORKER_PROCESSES,
    keepReleasesMs: env.KEEP_RELEASES,
    drainGraceMs: env.DRAIN_GRACE,
    path: env.PATH,
    logLevel: env.LOG_LEVEL,
  };
}

/** Where the CLI finds the manager: the one other place that the environment is read. */
export function cliEnvironment(environment: Environment = process.env): {
  url: string;
  token: string | undefined;
  dataDir: string;
} {
  return {
    url: environment['CHOIR_URL'] || 'http://127.0.0.1:9998',
    token: environment['CHOIR_TOKEN'] || undefined,
    dataDir: environment['DATA_DIR'] || './data',
  };
}
