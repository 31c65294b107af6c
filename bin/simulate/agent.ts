/**
 * One simulated child: polls, downloads, runs the stages in file order, reports, asks. It does what the reference agent
 * does, word for word on the wire, with time compressed by a factor.
 */
import { isEnd, ROLLOUT } from '#domain/strategy/strategy.ts';
import { measure, type Profile, succeeds, type Summary } from './measure.ts';
import type { Random } from './random.ts';
import { checkFunctions, readStrategy, type SimRelease, type SimStage } from './strategy.ts';
import type { Answer, Wire } from './wire.ts';

/** What a child can be made to do wrong, in the middle of its first stage; `fail-late`: at the end of its last one. */
export const FAULTS = ['fail', 'fail-late', 'silent', 'restart', 'drop'] as const;
export type Fault = (typeof FAULTS)[number];

export type AgentState = 'joining' | 'polling' | 'running' | 'waiting' | 'silent' | 'ended';

type Timing = {
  /** Waits so many ms of the child's time; rejects when the fleet is stopped. */
  sleep(ms: number): Promise<void>;
};

export type AgentOptions = {
  wire: Wire;
  timing: Timing;
  random: Random;
  profile: Profile;
  area: GeoJSON.Polygon;
  fault: Fault | null;
  pollMs: number;
  /** A cooperative child: it waits as long as `Retry-After` says, not at its own pace. */
  obey: boolean;
  onState(state: AgentState, detail: string): void;
  /** It runs this version (a folder in fns.zip) of a function from now on, and no other beside it. */
  onDeployed?(func: string, version: string): void;
};

const UNDECODABLE_MS = 5_000;
const FIRST_ASK_MS = 5_000;
const ASK_MS = 1_000;
const RESEND_MS = 1_000;
const STATUS = { SuccessWaiting: 2, Completed: 4, Failure: 5 } as const;
const FAILING: Partial<Profile> = { f2Errors: 0.5 };

/** The agent's process has ended: what it can't cope with ends it, as in the original. */
class ProcessEnded extends Error {}

/** It gave the release up and polls again. */
class Dropped extends Error {}

type Agent = AgentOptions & {
  id: string;
  /** What still asks beside the stages ends with the process. */
  isAlive: boolean;
};

export async function runAgent(options: AgentOptions): Promise<void> {
  const agent: Agent = { ...options, id: '', isAlive: true };
  agent.onState('joining', '');
  try {
    for (;;) {
      const offered = await poll(agent);
      if (offered === '') continue;
      await runRelease(agent, offered).catch((error: unknown) => {
        if (!(error instanceof Dropped)) throw error;
      });
    }
  } catch (error) {
    if (!(error instanceof ProcessEnded)) throw error;
    agent.onState('ended', error.message);
  } finally {
    agent.isAlive = false;
  }
}

const pauseAfter = ({ obey }: Agent, answer: Answer | null, own: number): number =>
  obey ? (answer?.retryAfterMs ?? own) : own;

/** One poll and the pause after it. Resolves with the release that it was offered, or ''. */
async function poll(agent: Agent): Promise<string> {
  const { wire, timing, area, pollMs, onState } = agent;
  let answer: Answer | null = null;
  let known: { id: string; new_release: string };
  try {
    answer = await wire.post('/poll', { id: agent.id, geographic_area: area, number_of_children: 0 });
    // Whatever the status: the agent decodes any JSON.
    known = JSON.parse(answer.text) as typeof known;
  } catch {
    await timing.sleep(pauseAfter(agent, answer, UNDECODABLE_MS));
    return '';
  }
  agent.id = known.id;
  onState('polling', known.id);
  if (known.new_release === '') await timing.sleep(pauseAfter(agent, answer, pollMs));
  return known.new_release;
}

/** Any answer but 200 ends the agent's process, and none at all does, too. */
async function fetched({ wire }: Agent, path: string): Promise<Answer> {
  const answer = await wire.get(path).catch((error: Error) => {
    throw new ProcessEnded(`GET ${path.split('?')[0]} got no answer: ${error.message}`);
  });
  if (answer.status !== 200) throw new ProcessEnded(`GET ${path.split('?')[0]} answered ${answer.status}`);
  return answer;
}

async function download(agent: Agent, release: string): Promise<SimRelease> {
  const query = `childID=${agent.id}&releaseID=${encodeURIComponent(release)}`;
  const parsed = readStrategy((await fetched(agent, `/release?${query}`)).text);
  await checkFunctions((await fetched(agent, `/release/functions/${encodeURIComponent(parsed.id)}`)).bytes);
  return parsed;
}

type Report = { stage: SimStage; status: number; next: string; summary: Summary };

/** True: it was taken. */
async function send({ wire, id }: Agent, release: SimRelease, report: Report): Promise<boolean> {
  const { stage, status, next, summary } = report;
  const body = {
    id,
    release_id: release.id,
    stage_summaries: [{ stage_name: stage.name, status, ...summary }],
    next_stage: next,
  };
  return wire.post('/result', body).then(
    (answer) => answer.status === 200,
    () => false,
  );
}

/** Asks until the answer is true; anything but a 200 is asked again. */
async function untilEnd(agent: Agent, release: SimRelease, stage: SimStage): Promise<void> {
  const { wire, timing } = agent;
  for (let pause = FIRST_ASK_MS; ;) {
    await timing.sleep(pause);
    if (!agent.isAlive) return;
    let answer: Answer | null = null;
    try {
      answer = await wire.post('/end_stage', { id: agent.id, strategy_id: release.id, stage_name: stage.name });
      if (answer.status === 200 && (JSON.parse(answer.text) as { end_stage: boolean }).end_stage) return;
    } catch {
      // Asked again.
    }
    pause = pauseAfter(agent, answer, ASK_MS);
  }
}

async function runRelease(agent: Agent, name: string): Promise<void> {
  if (agent.fault === 'fail') agent.profile = { ...agent.profile, ...FAILING };
  const release = await download(agent, name);
  // In file order, whatever it has said of the next stage, and past a later one that failed.
  for (const [i, stage] of release.stages.entries()) await runStage(agent, release, stage, i === 0);
}

async function runStage(agent: Agent, release: SimRelease, stage: SimStage, isFirst: boolean): Promise<void> {
  agent.onState('running', stage.name);
  const seconds = Math.max(stage.minDurationMs / 1000, stage.minCalls / agent.profile.callsPerSecond);
  if (isFirst) await actUp(agent);
  const summary = await runTest(agent, release, stage, seconds);
  const isGood = succeeds(stage, summary);
  const next = isGood ? stage.onSuccess : stage.onFailure;
  if (isEnd(next)) agent.onDeployed?.(stage.func, next === ROLLOUT ? stage.versions.new : stage.versions.base);
  // A final result is sent once, and lost unless it gets a 200.
  await send(agent, release, { stage, status: isGood ? STATUS.Completed : STATUS.Failure, next, summary });
  if (!isGood && isFirst && release.stages.length > 1) throw new ProcessEnded('its first stage failed');
}

/**
 * Measures, and in a WaitForSignal stage waits for its end. Where it fails the asking goes on beside the stages that follow,
 * until it's told to end.
 */
async function runTest(agent: Agent, release: SimRelease, stage: SimStage, seconds: number): Promise<Summary> {
  const { timing, random, profile } = agent;
  const ended = stage.signal ? untilEnd(agent, release, stage) : null;
  ended?.catch(() => {});
  const isEarly = await endedBefore(ended, timing.sleep(seconds * 1000));
  if (isEarly) return measure(stage, profile, { seconds: 0, random, least: 0 });
  const summary = measure(stage, profile, { seconds, random });
  if (ended === null || !succeeds(stage, summary)) return summary;
  agent.onState('waiting', stage.name);
  const report = { stage, status: STATUS.SuccessWaiting, next: stage.onSuccess, summary };
  while (!(await send(agent, release, report))) await timing.sleep(RESEND_MS);
  await ended;
  if (agent.fault === 'fail-late' && stage === release.stages.at(-1)) {
    agent.fault = null;
    agent.profile = { ...agent.profile, ...FAILING };
  }
  return measure(stage, agent.profile, { seconds: seconds * 1.5, random });
}

/** Whether it was told to end before it had measured enough: it then judges what it has. */
async function endedBefore(ended: Promise<void> | null, measured: Promise<void>): Promise<boolean> {
  if (ended === null) return measured.then(() => false);
  return Promise.race([measured.then(() => false), ended.then(() => true)]);
}

/** The fault that this child was given, once. */
async function actUp(agent: Agent): Promise<void> {
  const { fault, timing, onState } = agent;
  if (fault === 'fail-late') return;
  agent.fault = null;
  if (fault === null || fault === 'fail') return;
  await timing.sleep(1_000);
  if (fault === 'silent') {
    onState('silent', '');
    await new Promise(() => {});
  }
  if (fault === 'restart') agent.id = '';
  throw new Dropped();
}
