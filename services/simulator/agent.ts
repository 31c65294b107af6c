/**
 * One simulated child: polls, downloads, runs the stages in file order, reports, asks. It does what the reference agent
 * does, word for word on the wire, with time compressed by a factor.
 */
import { isEnd, ROLLOUT } from '#domain/strategy.ts';
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
  place: GeoJSON.Polygon;
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

export async function runAgent(options: AgentOptions): Promise<void> {
  const { wire, timing, onState } = options;
  let id = '';
  let fault = options.fault;
  let profile = options.profile;
  /** What still asks beside the stages ends with the process. */
  let alive = true;

  const pauseAfter = (answer: Answer | null, own: number): number =>
    options.obey ? (answer?.retryAfterMs ?? own) : own;

  /** One poll and the pause after it. Resolves with the release that it was offered, or ''. */
  async function poll(): Promise<string> {
    const body = { id, geographic_area: options.place, number_of_children: 0 };
    let answer: Answer | null = null;
    let known: { id: string; new_release: string };
    try {
      answer = await wire.post('/poll', body);
      // Whatever the status: the agent decodes any JSON.
      known = JSON.parse(answer.text) as typeof known;
    } catch {
      await timing.sleep(pauseAfter(answer, UNDECODABLE_MS));
      return '';
    }
    id = known.id;
    onState('polling', id);
    if (known.new_release === '') await timing.sleep(pauseAfter(answer, options.pollMs));
    return known.new_release;
  }

  /** Any answer but 200 ends the agent's process, and none at all does, too. */
  async function fetched(path: string): Promise<Answer> {
    const answer = await wire.get(path).catch((error: Error) => {
      throw new ProcessEnded(`GET ${path.split('?')[0]} got no answer: ${error.message}`);
    });
    if (answer.status !== 200) throw new ProcessEnded(`GET ${path.split('?')[0]} answered ${answer.status}`);
    return answer;
  }

  async function download(release: string): Promise<SimRelease> {
    const parsed = readStrategy(
      (await fetched(`/release?childID=${id}&releaseID=${encodeURIComponent(release)}`)).text,
    );
    await checkFunctions((await fetched(`/release/functions/${encodeURIComponent(parsed.id)}`)).bytes);
    return parsed;
  }

  async function send(
    release: SimRelease,
    stage: SimStage,
    status: number,
    next: string,
    summary: Summary,
  ): Promise<boolean> {
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
  async function untilEnd(release: SimRelease, stage: SimStage): Promise<void> {
    for (let pause = FIRST_ASK_MS; ;) {
      await timing.sleep(pause);
      if (!alive) return;
      let answer: Answer | null = null;
      try {
        answer = await wire.post('/end_stage', { id, strategy_id: release.id, stage_name: stage.name });
        if (answer.status === 200 && (JSON.parse(answer.text) as { end_stage: boolean }).end_stage) return;
      } catch {
        // Asked again.
      }
      pause = pauseAfter(answer, ASK_MS);
    }
  }

  /** Where it fails in a WaitForSignal stage the asking goes on beside the stages that follow, until it's told to end. */
  async function runStage(release: SimRelease, stage: SimStage, first: boolean): Promise<void> {
    onState('running', stage.name);
    const seconds = Math.max(stage.minDurationMs / 1000, stage.minCalls / profile.callsPerSecond);
    if (first) await actUp();
    const ended = stage.signal ? untilEnd(release, stage) : null;
    ended?.catch(() => {});
    const isEarly = await endedBefore(ended, timing.sleep(seconds * 1000));
    let summary = isEarly
      ? measure(stage, profile, 0, options.random, 0)
      : measure(stage, profile, seconds, options.random);
    if (!isEarly && ended !== null && succeeds(stage, summary)) {
      onState('waiting', stage.name);
      while (!(await send(release, stage, STATUS.SuccessWaiting, stage.onSuccess, summary)))
        await timing.sleep(RESEND_MS);
      await ended;
      if (fault === 'fail-late' && stage === release.stages.at(-1)) {
        fault = null;
        profile = { ...profile, ...FAILING };
      }
      summary = measure(stage, profile, seconds * 1.5, options.random);
    }
    const good = succeeds(stage, summary);
    const action = good ? stage.onSuccess : stage.onFailure;
    if (isEnd(action)) options.onDeployed?.(stage.func, action === ROLLOUT ? stage.versions.new : stage.versions.base);
    // A final result is sent once, and lost unless it gets a 200.
    await send(release, stage, good ? STATUS.Completed : STATUS.Failure, action, summary);
    if (!good && first && release.stages.length > 1) throw new ProcessEnded('its first stage failed');
  }

  /** Whether it was told to end before it had measured enough: it then judges what it has. */
  async function endedBefore(ended: Promise<void> | null, measured: Promise<void>): Promise<boolean> {
    if (ended === null) return measured.then(() => false);
    return Promise.race([measured.then(() => false), ended.then(() => true)]);
  }

  /** The fault that this child was given, once. */
  async function actUp(): Promise<void> {
    const now = fault;
    if (now === 'fail-late') return;
    fault = null;
    if (now === null || now === 'fail') return;
    await timing.sleep(1_000);
    if (now === 'silent') {
      onState('silent', '');
      await new Promise(() => {});
    }
    if (now === 'restart') id = '';
    throw new Dropped();
  }

  async function runRelease(name: string): Promise<void> {
    if (fault === 'fail') profile = { ...profile, ...FAILING };
    const release = await download(name);
    // In file order, whatever it has said of the next stage, and past a later one that failed.
    for (const [i, stage] of release.stages.entries()) await runStage(release, stage, i === 0);
  }

  onState('joining', '');
  try {
    for (;;) {
      const offered = await poll();
      if (offered === '') continue;
      await runRelease(offered).catch((error: unknown) => {
        if (!(error instanceof Dropped)) throw error;
      });
    }
  } catch (error) {
    if (!(error instanceof ProcessEnded)) throw error;
    onState('ended', error.message);
  } finally {
    alive = false;
  }
}

/** It gave the release up and polls again. */
class Dropped extends Error {}
