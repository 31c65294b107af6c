/** `choir` as operators type it, and what it tells scripts by its exit code. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { runChoir } from '#test/harness/manager/choir.ts';
import { freePort } from '#test/harness/free-port.ts';
import { type Manager, startManager, TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
let dir: string;
beforeAll(async () => {
  m = await startManager(stack);
  dir = mkdtempSync(join(tmpdir(), 'choir-cli-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
});
afterAll(() => stack.disposeAsync());

const run = (args: string[], more: Record<string, string> = {}) =>
  runChoir(args, { CHOIR_URL: m.url, CHOIR_TOKEN: TOKEN, DATA_DIR: dir, ...more }, stack);
const choir = (args: string[], more?: Record<string, string>) => run(args, more).done;

/** A copy of the example under an id of its own. */
function example(id: string, change: (yml: string) => string = (yml) => yml): string {
  const folder = join(dir, id);
  cpSync('examples/releases/sieve', folder, { recursive: true });
  const file = join(folder, 'release.yml');
  writeFileSync(file, change(`id: ${id}\n${EXAMPLE_REST}`));
  return folder;
}
const EXAMPLE_REST = `name: Quick
type: patch
functions:
  - name: sieve
    base_version: { path: fns/sieve_v1, env: nodejs }
    new_version: { path: fns/sieve_v2, env: nodejs }
stages:
  - name: Canary
    type: WaitForSignal
    func_name: sieve
    variants: [{ name: base_version, trafficPercentage: 90 }, { name: new_version, trafficPercentage: 10 }]
    metrics_conditions: [{ name: errorRate, threshold: "<0.02" }]
    end_conditions: [{ name: minDuration, threshold: 1s }]
    end_action: { onSuccess: rollout, onFailure: rollback }
rollback: { action: { function: base_version } }
`;

describe('publish', () => {
  it('packs fns/, and says when the same was published before', async () => {
    const folder = example('cli-1');
    expect(await choir(['publish', folder])).toMatchObject({ code: 0, out: 'published cli-1\n', err: '' });
    expect(await choir(['publish', folder])).toMatchObject({
      code: 0,
      out: 'cli-1 was published before, with the same bytes\n',
    });
    expect((await choir(['list'])).out).toMatch(/^ID +NAME +STATE[^\n]*\ncli-1 +Quick +published +global-incremental/);
  });

  it('prints all faults, and all warnings', async () => {
    const bad = example('cli-bad', (yml) =>
      yml.replace('trafficPercentage: 90', 'trafficPercentage: 80').replace('threshold: 1s', 'threshold: 1'),
    );
    const refused = await choir(['publish', bad]);
    expect(refused.code).toBe(4);
    expect(refused.err).toMatch(
      /2 faults\nfault: stages\[0\]\.variants .*\nfault: stages\[0\]\.end_conditions\[0\]\.threshold .*\n/,
    );
    const warned = await choir([
      'publish',
      example('cli-warned', (yml) =>
        yml.replace('metrics_conditions: [{ name: errorRate, threshold: "<0.02" }]', 'metrics_conditions: []'),
      ),
    ]);
    expect(warned).toMatchObject({
      code: 0,
      out: 'published cli-warned\n',
      err: expect.stringMatching(/^warning: stages\[0\]\.metrics_conditions/) as string,
    });
    expect((await choir(['publish', dir])).err).toMatch(/holds no release.yml/);
  });
});

describe('watch', () => {
  it('follows a release to its end and exits 0', async () => {
    await choir(['publish', example('cli-good')]);
    const fleet = startFleet({ url: m.url, children: 5, factor: 10 });
    await until('all have joined', () => Promise.resolve(fleet.stats().states.polling === 5));
    expect((await choir(['start', 'cli-good', '--plan', 'global-incremental'])).code).toBe(0);
    const watched = await choir(['watch', 'cli-good']);
    expect(watched.code).toBe(0);
    expect(watched.out).toMatch(
      /cli-good {2}Quick {2}completed {2}\(global-incremental\) {2}v\d+\n {2}children {2}█{24} 5 of 5 Done: 5 Done/,
    );
    expect((await choir(['children', 'cli-good', '--status', 'Done'])).out.trim().split('\n')).toHaveLength(6);
    const some = await choir(['children', '--limit', '2']);
    expect(some.out.trim().split('\n')).toHaveLength(3);
    expect(some.err).toBe('… the first 2; --limit n shows more\n');
    const few = await choir(['children', 'cli-good', '--limit', '4']);
    expect([few.out.trim().split('\n').length, few.err]).toEqual([5, '… the first 4; --limit n shows more\n']);
    expect((await choir(['children', 'cli-good', '--limit', '5'])).err).toBe('');
    await fleet.stop();
  });

  it('exits 1 when it is halted', async () => {
    await choir(['publish', example('cli-halted')]);
    const fleet = startFleet({ url: m.url, children: 2, factor: 10, errorRate: 0.5 });
    await until('all have joined', () => Promise.resolve(fleet.stats().states.polling === 2));
    await choir(['start', 'cli-halted']);
    expect(await choir(['watch', 'cli-halted'])).toMatchObject({
      code: 1,
      out: expect.stringMatching(/reason +child \S+ reported Failure in stage "Canary"/) as string,
    });
    await choir(['publish', example('cli-next')]);
    const refused = await choir(['start', 'cli-next']);
    expect([refused.code, refused.err]).toEqual([
      4,
      expect.stringMatching(
        /^Another release touches the same functions: .*\nfault: plan.conflicts release cli-halted touches sieve too\n/,
      ),
    ]);
    await choir(['abort', 'cli-halted']);
    await fleet.stop();
  });

  it('exits 2 when it is aborted while it watches', async () => {
    await choir(['publish', example('cli-aborted')]);
    await choir(['start', 'cli-aborted']);
    const watching = run(['watch', 'cli-aborted']);
    await until('it shows something', () => Promise.resolve(watching.output().includes('running')));
    expect((await choir(['abort', 'cli-aborted', '--reason', 'changed my mind'])).out).toMatch(/aborted/);
    expect(await watching.done).toMatchObject({ code: 2, out: expect.stringContaining('changed my mind') as string });
  });

  it('exits 3 when no manager answers', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await choir(['watch', 'x'], { CHOIR_URL: url })).toMatchObject({
      code: 3,
      err: expect.stringMatching(/^no manager answers at/) as string,
    });
  });
});

describe('mistakes', () => {
  it('are told in a sentence', async () => {
    expect(await choir(['status', 'nope'])).toMatchObject({
      code: 4,
      err: 'There is no such thing: there is no release nope\n',
    });
    expect((await choir(['list'], { CHOIR_TOKEN: 'wrong' })).err).toMatch(/takes no such token: set CHOIR_TOKEN/);
    expect((await choir(['start', 'cli-1', '--plan', 'sideways'])).err).toMatch(/plan/);
    expect((await choir(['simulate', '--children', '0'])).err).toMatch(/no number from 1/);
    for (const args of [
      ['nonsense'],
      ['watch'],
      ['start', 'x', '--plan'],
      ['status', '..'],
      ['simulate', '--children', '2.5'],
      ['simulate', '--children', '2', '--fail', '3'],
    ])
      expect([args, (await choir(args)).code]).toEqual([args, 4]);
    expect((await choir(['--help'])).code).toBe(0);
    expect((await choir(['list'], { CHOIR_URL: `${m.url}/` })).code).toBe(0);
    expect((await choir(['list'], { CHOIR_URL: 'foo' })).err).toBe('CHOIR_URL is no http address: foo\n');
    const nowhere = { CHOIR_URL: `http://127.0.0.1:${await freePort()}` };
    expect((await choir(['simulate', '--children', '2', '--factor', '50', '--seconds', '1'], nowhere)).code).toBe(3);
  });
});

describe('an option that has another name now', () => {
  it.each([[['--release-held']], [['--release-held', '--reason', 'it leaks']]])(
    'is refused in a sentence that gives the new name: %j',
    async (options) => {
      const refused = await choir(['revert', 'cli-1', ...options]);
      expect([refused.code, refused.out]).toEqual([4, '']);
      expect(refused.err).toMatch(/--release-held is called --open-gates now[^\n]*\n$/);
    },
  );

  it('is not in the help, and the new one is', async () => {
    const { code, out } = await choir(['revert', '--help']);
    expect(code).toBe(0);
    expect(out).toContain('--open-gates');
    expect(out).not.toContain('--release-held');
  });
});

describe('simulate', () => {
  it('plays a fleet for a while, and says what it did', async () => {
    const played = await choir([
      'simulate',
      '--children',
      '10',
      '--factor',
      '20',
      '--area',
      '8.68,50.11,5',
      '--seconds',
      '2',
    ]);
    expect(played.code).toBe(0);
    expect(played.out).toMatch(/^10 children: 10 polling\n {2}\d+ requests, 0 of them refused or broken\n$/);
  });
});
