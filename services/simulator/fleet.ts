/** A fleet of simulated children over real HTTP. */
import { type AgentState, type Fault, FAULTS, runAgent } from './agent.ts';
import { type Area, BERLIN, randomPlace } from './places.ts';
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

export function startFleet(options: FleetOptions): Fleet {
  const { children, area = BERLIN, factor = 1, seed = 1, pollMs = REAL_POLL_MS } = options;
  const states: AgentState[] = Array.from({ length: children }, () => 'joining');
  const ids: string[] = [];
  const answers: Record<string, number> = {};
  const versions: (string | undefined)[] = [];
  const ended: string[] = [];
  let bad = 0;
  let requests = 0;
  let answered = 0;
  let stopped = false;
  const sleeping = new Map<NodeJS.Timeout, (error: Error) => void>();

  const wire = createWire(options.url, options.connections ?? Math.min(children, 512), (path, status) => {
    if (stopped) return;
    requests++;
    const key = `${path} ${status ?? 'broken'}`;
    answers[key] = (answers[key] ?? 0) + 1;
    if (status !== null) answered++;
    if (status === null || status >= 400) bad++;
  });

  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (stopped) return reject(new Stopped());
      const timer = setTimeout(() => {
        sleeping.delete(timer);
        resolve();
      }, ms / factor);
      sleeping.set(timer, reject);
    });

  const order = FAULTS.flatMap((fault) => Array.from({ length: options.faults?.[fault] ?? 0 }, () => fault));
  const agents = states.map(async (_, i) => {
    const random = createRandom(seed * 1_000_003 + i);
    const place = randomPlace(area, random);
    const profile = {
      f1Ms: random.around(40, 0.3),
      f2Ms: random.around(36, 0.3),
      f1Errors: random.around(USUAL_ERROR_RATE, 0.5),
      f2Errors: random.around(options.errorRate ?? USUAL_ERROR_RATE, 0.5),
      callsPerSecond: 20,
    };
    await sleep(random.next() * pollMs * SPREAD);
    await runAgent({
      wire,
      timing: { sleep },
      random,
      profile,
      place,
      fault: order[i] ?? null,
      pollMs,
      obey: options.obey ?? false,
      onState(state, detail) {
        states[i] = state;
        if (state === 'polling') ids[i] = detail;
        if (state === 'ended') ended.push(detail);
      },
      onDeployed(_func, version) {
        versions[i] = version;
      },
    });
  });
  for (const agent of agents)
    agent.catch((error: unknown) => {
      if (!(error instanceof Stopped)) ended.push(String(error));
    });

  return {
    stats() {
      const count: FleetStats['states'] = { joining: 0, polling: 0, running: 0, waiting: 0, silent: 0, ended: 0 };
      for (const state of states) count[state]++;
      const byVersion: Record<string, number> = {};
      for (const version of versions) if (version !== undefined) byVersion[version] = (byVersion[version] ?? 0) + 1;
      return {
        states: count,
        answers: { ...answers },
        bad,
        ended: [...ended],
        requests,
        answered,
        versions: byVersion,
      };
    },
    ids: () => ids.filter((id) => id !== undefined),
    async stop() {
      stopped = true;
      for (const [timer, reject] of sleeping) {
        clearTimeout(timer);
        reject(new Stopped());
      }
      await wire.close();
    },
  };
}

class Stopped extends Error {}
