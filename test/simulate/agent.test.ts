/** A simulated child against a real manager: it does what the reference agent does, request by request. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runAgent } from '#bin/simulate/agent.ts';
import { BERLIN, randomPlace } from '#bin/simulate/areas.ts';
import { createRandom } from '#bin/simulate/random.ts';
import { createWire, type Wire } from '#bin/simulate/wire.ts';
import { sieveYml, sieveZip } from '#test/harness/plans/release-files.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const FACTOR = 20;
// A manager for each child: a start enrols everybody who was there lately, and waits for them.
let stack: AsyncDisposableStack;
let m: Manager;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack);
});
afterEach(() => stack.disposeAsync());

/** No response is that fast: a stage with this condition fails. */
const IMPOSSIBLE = 'threshold: "<=0.001"';

/** The release of three stages with some of them changed, by their position in the file. */
function release(id: string, changes: Record<number, (stage: string) => string>): string {
  const [head = '', ...stages] = sieveYml(id).split(/(?=\n {2}- name: (?:Canary|Test|Gradual))/);
  return [head, ...stages.map((stage, i) => changes[i]?.(stage) ?? stage)].join('');
}
const failing = (stage: string): string => stage.replace('threshold: "<=2000"', IMPOSSIBLE);
const typed = (type: string) => (stage: string) => stage.replace(/type: \S+/, `type: ${type}`);

type Played = { log: string[]; sleeps: number[]; state(): string; id(): string };

/** One child whose requests are written down: path, stage, what it says of it, and the answer. */
function play(url: string, obey = false): Played {
  const log: string[] = [];
  const sleeps: number[] = [];
  let state = '';
  let id = '';
  let stopped = false;
  const wire = createWire(url, 4, () => {});
  const recorded: Wire = {
    ...wire,
    async post(path, body) {
      const answer = await wire.post(path, body);
      const {
        stage_name,
        stage_summaries: [summary] = [],
        next_stage,
      } = body as {
        stage_name?: string;
        stage_summaries?: { stage_name: string; status: number }[];
        next_stage?: string;
      };
      if (path === '/end_stage') log.push(`asks ${stage_name}: ${answer.text}`);
      if (path === '/result') log.push(`${summary?.stage_name} ${summary?.status} → ${next_stage}: ${answer.status}`);
      if (path === '/poll' && log.at(-1) !== 'polls') log.push('polls');
      return answer;
    },
  };
  const random = createRandom(7);
  void runAgent({
    wire: recorded,
    timing: {
      async sleep(ms) {
        sleeps.push(ms);
        await sleep(ms / FACTOR);
        if (stopped) throw new Error('stopped');
      },
    },
    random,
    profile: { f1Ms: 40, f2Ms: 36, f1Errors: 0, f2Errors: 0, callsPerSecond: 20 },
    area: randomPlace(BERLIN, random),
    fault: null,
    pollMs: 3_000,
    obey,
    onState(now, detail) {
      state = now;
      if (now === 'polling') id = detail;
    },
  }).catch(() => {});
  stack.defer(async () => {
    stopped = true;
    await wire.close();
  });
  return { log, sleeps, state: () => state, id: () => id };
}

async function started(id: string, yml: string): Promise<Played> {
  const played = play(m.url);
  await until('the child is known', async () => {
    const known = played.id() !== '' && (await m.operator.raw('GET', `/children/${played.id()}`)).status === 200;
    return known;
  });
  await m.operator.ok('POST', '/releases', m.operator.form(yml, await sieveZip()));
  await m.operator.start(id);
  return played;
}

/** The manager's view of the child: its release status, and the statuses of its stages. */
const view = async (id: string, { id: child }: Played) => {
  const { release_status, stages } = await m.operator.child(id, child());
  return [release_status, ...stages.map(({ status }) => status)];
};

const withoutRepeats = (log: readonly string[]): string[] => log.filter((line, i) => line !== log[i - 1]);

describe('a simulated child', () => {
  it('ends with its process when the first of several stages fails, and asks no more', async () => {
    const played = await started('first', release('first', { 0: failing }));
    await until('it ends', () => Promise.resolve(played.state() === 'ended'));
    await sleep((5_000 / FACTOR) * 2);
    expect(played.log).toEqual(['polls', 'Canary 5 → rollback: 200']);
    await until('halted', async () => (await m.operator.show('first')).state === 'halted');
    expect(await view('first', played)).toEqual(['Failed', 'Failure', 'Pending', 'Pending']);
  });

  it('goes on with the next stage when a later one fails, and the manager keeps it Failed', async () => {
    const yml = release('later', {
      1: (stage) => typed('WaitForSignal')(failing(stage)),
      2: typed('A/B'),
    });
    const played = await started('later', yml);
    await until('it polls again', () => Promise.resolve(played.log.length > 1 && played.log.at(-1) === 'polls'));
    // The asking for the stage that failed goes on beside the next stage, until it's told true.
    const isApart = (line: string): boolean =>
      line === 'asks Canary: {"end_stage":false}' || line.startsWith('asks Test');
    expect(withoutRepeats(played.log.filter((line) => !isApart(line)))).toEqual([
      'polls',
      'Canary 2 → Test: 200',
      'asks Canary: {"end_stage":true}',
      'Canary 4 → Test: 200',
      'Test 5 → rollback: 200',
      'Gradual 4 → rollout: 200',
      'polls',
    ]);
    await until('the failed stage was asked for', () =>
      Promise.resolve(played.log.some((line) => line.startsWith('asks Test'))),
    );
    await sleep((1_000 / FACTOR) * 3);
    expect(played.log.filter((line) => line.startsWith('asks Test'))).toEqual(['asks Test: {"end_stage":true}']);
    const rollout = await until('halted', async () => {
      const now = await m.operator.show('later');
      return now.state === 'halted' && now;
    });
    expect(rollout.progress.children).toMatchObject({ Failed: 1 });
    expect(rollout.progress.stages[2]).not.toHaveProperty('Completed');
    expect((await view('later', played))[0]).toBe('Failed');
  });

  it('does not pass the gate of a later stage that the rollout has not opened', async () => {
    const played = await started('later-signal', release('later-signal', { 1: failing }));
    await until('it has asked for the last stage', () =>
      Promise.resolve(played.log.filter((line) => line === 'asks Gradual: {"end_stage":false}').length > 2),
    );
    expect(played.log).toContain('Gradual 2 → rollout: 200');
    expect(played.log).not.toContain('asks Gradual: {"end_stage":true}');
    expect((await view('later-signal', played))[0]).toBe('Failed');
    expect((await m.operator.show('later-signal')).progress.stages[2]).not.toHaveProperty('SuccessWaiting');
  });

  it('runs all stages in file order, though one in the middle says rollout', async () => {
    const yml = release('middle', {
      0: (stage) => stage.replace('onSuccess: Test', 'onSuccess: rollout'),
      2: typed('A/B'),
    });
    const played = await started('middle', yml);
    await until('it polls again', () => Promise.resolve(played.log.length > 1 && played.log.at(-1) === 'polls'));
    expect(played.log.filter((line) => /^\w+ [45]/.test(line))).toEqual([
      'Canary 4 → rollout: 200',
      'Test 4 → Gradual: 200',
      'Gradual 4 → rollout: 200',
    ]);
    expect((await view('middle', played))[0]).toBe('Done');
    await until('completed', async () => (await m.operator.show('middle')).state === 'completed');
  });
});

describe('how long it waits', () => {
  /** A manager that offers one release, and otherwise says when to ask again: 200 for polls, 503 for every second one. */
  async function steering() {
    let polls = 0;
    const server = createServer((request, response) => {
      const good = request.url !== '/poll' || polls++ % 2 === 0;
      response.setHeader('Retry-After', good ? '17' : '11');
      response.statusCode = good ? 200 : 503;
      response.end(good ? '{"id":"c","new_release":""}' : 'busy\n');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    stack.defer(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const firstPauses = async (obey: boolean) => {
    const { sleeps } = play(await steering(), obey);
    await until('it has polled', () => Promise.resolve(sleeps.length >= 3));
    return sleeps.slice(0, 3);
  };

  it('is its own pace, whatever the manager says', async () => {
    expect(await firstPauses(false)).toEqual([3_000, 5_000, 3_000]);
  });

  it('is what the manager says, where it obeys, on good answers and refusals', async () => {
    expect(await firstPauses(true)).toEqual([17_000, 11_000, 17_000]);
  });
});
