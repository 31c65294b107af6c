/** `choir simulate-plan`, run as operators run it: a process, with no manager anywhere. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Simulation } from '#simulation/simulate.ts';

const dir = mkdtempSync(join(tmpdir(), 'choir-simulate-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function simulate(...args: string[]) {
  const env = { PATH: process.env['PATH'] ?? '', CHOIR_URL: 'http://127.0.0.1:1' };
  const child = spawn(process.execPath, ['bin/choir.js', 'simulate-plan', ...args], { env });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}
const json = async (...args: string[]): Promise<Simulation & { seconds: number }> =>
  JSON.parse((await simulate(...args, '--json')).out) as Simulation & { seconds: number };

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

describe('choir simulate-plan', () => {
  it('prints the course of a plan over a million children, in seconds', async () => {
    const { code, out } = await simulate('--plan', 'waves', '--children', '1000000', '--jitter', '0%');
    expect(code).toBe(0);
    expect(out).toMatch(/^plan +waves: 1, 2, 4, … at a time, 10m between waves, each at its own pace/);
    expect(out).toContain('1,000,000 children in 12 locations of 83,333 to 83,334, a poll each 3s');
    expect(out).toMatch(/\n0:00:00 +opens: l1 +0 +0 +0\n/);
    expect(out).toMatch(/\n\d+:\d\d:\d\d +opens: l8, l9, l10, l11, l12 .*\n/);
    expect(out).toMatch(
      /\ncompleted\n +after +0:3\d:\d\d\n +children 1,000,000 Done, 0 Failed, 0 lost, of 1,000,000\n/,
    );
    expect(Number(/computed in ([\d.]+) s/.exec(out)?.[1])).toBeLessThan(10);
  });

  it('keeps a long course short', async () => {
    const { out } = await simulate('--plan', 'location-sequential', '--children', '2000', '--poll', '0s');
    const lines = out.split('\n');
    expect(lines.length).toBeLessThan(90);
    expect(out).toMatch(/… waves \d+ to 1,9\d\d in the same way/);
    expect(out).toMatch(/\n\S+ +completed: l1-2000 +2,000 +0 +0\n/);
  });

  it('shows what a location that fails comes to, and what it waits for', async () => {
    const { code, out } = await simulate('--plan', 'waves', '--children', '1200', '--fail', 'l2=5%', '--until', '1d');
    expect(code).toBe(0);
    expect(out).toMatch(/held: l2: child l2-\d+ reported Failure in stage "[^"]+"/);
    expect(out).toMatch(/\nrunning\n.*\n.*\n {2}waits {4}in l2 for an operator: child l2-/);
  });

  it('is the same for the same seed, and another for another', async () => {
    const args = ['--children', '500', '--fail', '2%', '--plan', 'location-parallel'];
    const { seconds: _, ...one } = await json(...args, '--seed', '7');
    const { seconds: __, ...same } = await json(...args, '--seed', '7');
    const { seconds: ___, ...other } = await json(...args, '--seed', '8');
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('reads a plan, and a release with its stages', async () => {
    const plan = file(
      'plan.yml',
      'locations: child\nwaves: { percent: [10, 100] }\nstages: own-pace\nfailure: { all: { share: 5, then: abort } }\nrate: { per_minute: 600 }\n',
    );
    const { end, children } = await json('--plan', plan, '--release', 'examples/releases/sieve', '--children', '300');
    expect(end).toMatchObject({ state: 'completed', cut: null, waits: [] });
    expect(children).toMatchObject({ all: 300, done: 300 });
    const failing = await json('--plan', plan, '--children', '1000', '--fail', '20%');
    expect(failing.end.state).toBe('aborted');
  });

  it('lets an operator approve, late joiners join, and silent children come back', async () => {
    const plan = file(
      'approved.yml',
      'locations: { grid_km: 10 }\nstages: own-pace\nadvance: { approval: { stages: all, waves: true } }\nlate_joiners: join\n',
    );
    const waiting = await json('--plan', plan, '--locations', '2', '--children', '20');
    expect(waiting.end).toMatchObject({
      state: 'running',
      waits: [{ location: 'l1', stage: 'Canary', for: 'an operator to approve the stage (promote)' }],
    });
    const approved = await json(
      '--plan',
      plan,
      '--locations',
      '2',
      '--children',
      '20',
      '--approve',
      '1m',
      '--late',
      '30',
    );
    expect(approved.end.state).toBe('completed');
    expect(approved.children.all).toBeGreaterThan(20);
    const back = await json('--plan', 'global-incremental', '--lost', '10%', '--returns', '1h', '--children', '50');
    expect(back.end.state).toBe('completed');
    expect(back.end.atMs).toBeGreaterThan(3_600_000);
  });

  it.each<[string[], RegExp]>([
    [['--plan', 'nowhere.yml'], /^--plan: "nowhere.yml" is neither a file nor one of global-incremental, /],
    [['--release', 'nowhere'], /^--release: "nowhere" is neither a release.yml nor a folder that holds one\n$/],
    [['--fail', '5'], /it is no share such as 1% or 0\.5%/],
    [['--fail', 'l99=5%'], /^--fail: there is no location "l99": they are l1, l2, /],
    [['--children', 'many'], /it is no whole number from 1 to /],
    [['--sizes', '1,2', '--children', '3'], /^--sizes says how many children and locations there are/],
    [['--until', 'forever'], /it is no duration such as 10s, 1h30m or 30d/],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, out, err } = await simulate(...args);
    expect([code, out]).toEqual([4, '']);
    expect(err).toMatch(message);
  });

  it('lists all faults of a plan', async () => {
    const { code, err } = await simulate('--plan', file('bad.yml', 'waves: 0\nrate: { at_once: 0 }\n'));
    expect(code).toBe(4);
    expect(err).toMatch(/is no plan:\nfault: waves .*\nfault: rate.at_once .*\n/);
  });
});
