/** A fleet of simulated children over real HTTP. */
import { type AgentOptions, type AgentState, type Fault, FAULTS, runAgent } from './agent.ts';
import { type Area, BERLIN, randomPlace } from './areas.ts';
import { createRandom } from './random.ts';
import { createWire } from './wire.ts';

export type FleetOptions = {
  url: string;
  children: number;
  area?: Area;
  /** How many times faster than real children their time runs. */
  factor?: number;
  seed?: number;
  /** How many children get which fault. */
  faults?: Partial<Record<Fault, number>>;
  /** Milliseconds of a child's time between polls. */
  pollMs?: number;
  /** Cooperative children: they wait as long as `Retry-After` says. */
  obey?: boolean;
  connections?: number;
  /** Median error rate of the new version, 0 to 1. */
  errorRate?: number;
};

export type FleetStats = {
  states: Record<AgentState, number>;
  /** Answers by path and status; `broken` are connections that ended without one. */
  answers: Record<string, number>;
  /** Answers that no child should ever get: 4xx, 5xx, broken connections. */
  bad: number;
  /** Why agents' processes ended. */
  ended: string[];
  requests: number;
  /** Requests that got an answer, whatever it was. */
  answered: number;
  /** Children by the version that they ended a release with (a folder in fns.zip). */
  versions: Record<string, number>;
};

export type Fleet = { stats(): FleetStats; ids(): string[]; stop(): Promise<void> };

const REAL_POLL_MS = 3_000;
/** Of a healthy version: low enough that no stage of a few hundred calls fails by chance. */
const USUAL_ERROR_RATE = 1e-6;
/** Children start within the first poll interval, not all at once. */
const SPREAD = 1;

class Stopped extends Error {}

/** What the children have come to so far. */
type Tally = {
  states: AgentState[];
  ids: string[];
  versions: (string | undefined)[];
  ended: string[];
  answers: Record<string, number>;
  bad: number;
  requests: number;
  answered: number;
};

export function startFleet(options: FleetOptions): Fleet {
  const { children, url, factor = 1 } = options;
  const tally: Tally = {
    states: Array.from({ length: children }, () => 'joining'),
    ids: [],
    versions: [],
    ended: [],
    answers: {},
    bad: 0,
    requests: 0,
    answered: 0,
  };
  const timing = createTiming(factor);
  const wire = createWire(url, options.connections ?? Math.min(children, 512), (path, status) => {
    if (!timing.isStopped()) countAnswer(tally, path, status);
  });
  for (let i = 0; i < children; i++)
    runChild(options, tally, { wire, timing }, i).catch((error: unknown) => {
      if (!(error instanceof Stopped)) tally.ended.push(String(error));
    });
  return {
    stats: () => statsOf(tally),
    ids: () => tally.ids.filter((id) => id !== undefined),
    async stop() {
      timing.stop();
      await wire.close();
    },
  };
}

/** Children's time, `factor` times faster than ours. */
function createTiming(factor: number) {
  const sleeping = new Map<NodeJS.Timeout, (error: Error) => void>();
  let isStopped = false;
  return {
    isStopped: () => isStopped,
    sleep: (ms: number): Promise<void> =>
      new Promise((resolve, reject) => {
        if (isStopped) return reject(new Stopped());
        const timer = setTimeout(() => {
          sleeping.delete(timer);
          resolve();
        }, ms / factor);
        sleeping.set(timer, reject);
      }),
    stop(): void {
      isStopped = true;
      for (const [timer, reject] of sleeping) {
        clearTimeout(timer);
        reject(new Stopped());
      }
    },
  };
}

function countAnswer(tally: Tally, path: string, status: number | null): void {
  const key = `${path} ${status ?? 'broken'}`;
  tally.requests++;
  tally.answers[key] = (tally.answers[key] ?? 0) + 1;
  if (status !== null) tally.answered++;
  if (status === null || status >= 400) tally.bad++;
}

/** The fault of the child with this number: the first children get the faults. */
const faultOf = ({ faults = {} }: FleetOptions, i: number): Fault | null =>
  FAULTS.flatMap((fault) => Array.from({ length: faults[fault] ?? 0 }, () => fault))[i] ?? null;

async function runChild(
  options: FleetOptions,
  tally: Tally,
  { wire, timing }: Pick<AgentOptions, 'wire' | 'timing'>,
  i: number,
): Promise<void> {
  const { area = BERLIN, seed = 1, pollMs = REAL_POLL_MS, errorRate = USUAL_ERROR_RATE, obey = false } = options;
  const random = createRandom(seed * 1_000_003 + i);
  const place = randomPlace(area, random);
  const profile = {
    f1Ms: random.around(40, 0.3),
    f2Ms: random.around(36, 0.3),
    f1Errors: random.around(USUAL_ERROR_RATE, 0.5),
    f2Errors: random.around(errorRate, 0.5),
    callsPerSecond: 20,
  };
  await timing.sleep(random.next() * pollMs * SPREAD);
  await runAgent({
    wire,
    timing,
    random,
    profile,
    area: place,
    pollMs,
    obey,
    fault: faultOf(options, i),
    onState(state, detail) {
      tally.states[i] = state;
      if (state === 'polling') tally.ids[i] = detail;
      if (state === 'ended') tally.ended.push(detail);
    },
    onDeployed(_func, version) {
      tally.versions[i] = version;
    },
  });
}

function statsOf({ states, versions, answers, ended, bad, requests, answered }: Tally): FleetStats {
  const count: FleetStats['states'] = { joining: 0, polling: 0, running: 0, waiting: 0, silent: 0, ended: 0 };
  for (const state of states) count[state]++;
  const byVersion: Record<string, number> = {};
  for (const version of versions) if (version !== undefined) byVersion[version] = (byVersion[version] ?? 0) + 1;
  return { states: count, answers: { ...answers }, bad, ended: [...ended], requests, answered, versions: byVersion };
}
