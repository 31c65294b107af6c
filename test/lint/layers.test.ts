/** The layer rules of the linter, on small files in a copy of the folders: what must be refused is refused. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const OXLINT = resolve('node_modules/.bin/oxlint');

/** A file, what it says, and whether that is allowed there. */
type Case = [file: string, code: string, allowed: boolean];
const uses = (file: string, target: string, allowed: boolean): Case => [
  file,
  `import { x } from '${target}';\nexport const y = x;\n`,
  allowed,
];

const ENV = "export const e = process.env['PATH'];\n";

const CASES: Case[] = [
  uses('shared/domain/a.ts', '#domain/plan/plan.ts', true),
  uses('shared/domain/a.ts', '#wire/child/requests.ts', false),
  uses('shared/domain/a.ts', '../wire/path.ts', false),
  uses('shared/domain/a.ts', 'node:fs', false),
  uses('shared/domain/a.ts', 'zod', false),
  ...['child', 'controls', 'counts', 'explain', 'geo', 'plan', 'rollout', 'scheduling', 'strategy'].flatMap(
    (room): Case[] => [
      uses(`shared/domain/${room}/a.ts`, './b.ts', true),
      uses(`shared/domain/${room}/a.ts`, '#domain/child/flags.ts', true),
      uses(`shared/domain/${room}/a.ts`, '../child/flags.ts', false),
      uses(`shared/domain/${room}/a.ts`, '../../wire/path.ts', false),
      uses(`shared/domain/${room}/a.ts`, '#simulation/chance.ts', false),
      uses(`shared/domain/${room}/a.ts`, '#store/layout/keys.ts', false),
      uses(`shared/domain/${room}/a.ts`, 'node:fs', false),
      uses(`shared/domain/${room}/a.ts`, 'zod', false),
      uses(`shared/domain/${room}/a.ts`, 'flatbush', room === 'geo'),
      [`shared/domain/${room}/a.ts`, 'export const r = Math.random();\n', false],
      [`shared/domain/${room}/a.ts`, ENV, false],
    ],
  ),
  uses('shared/domain/geo/a.ts', '@turf/bbox', true),
  uses('shared/domain/geo/a.ts', '@turf/turf', false),
  ['shared/domain/a.ts', 'export const r = Math.random();\n', false],
  ['shared/domain/a.ts', ENV, false],

  uses('shared/simulation/a.ts', './pool.ts', true),
  uses('shared/simulation/a.ts', '#domain/plan/plan.ts', true),
  uses('shared/simulation/a.ts', '#wire/path.ts', false),
  uses('shared/simulation/a.ts', '../wire/path.ts', false),
  uses('shared/simulation/a.ts', 'node:fs', false),
  uses('shared/simulation/a.ts', 'zod', false),

  uses('shared/wire/a.ts', '#domain/ids.ts', true),
  ...['child', 'operator', 'plan', 'release'].flatMap((room): Case[] => [
    uses(`shared/wire/${room}/a.ts`, '#domain/ids.ts', true),
    uses(`shared/wire/${room}/a.ts`, '#wire/path.ts', true),
    uses(`shared/wire/${room}/a.ts`, 'zod', true),
    uses(`shared/wire/${room}/a.ts`, '#runtime/config.ts', false),
    uses(`shared/wire/${room}/a.ts`, '#store/layout/keys.ts', false),
    uses(`shared/wire/${room}/a.ts`, '#simulation/chance.ts', false),
    uses(`shared/wire/${room}/a.ts`, '../../store/layout/keys.ts', false),
    uses(`shared/wire/${room}/a.ts`, '../../../services/api/root.ts', false),
  ]),
  uses('shared/runtime/a.ts', '#domain/ids.ts', true),
  uses('shared/runtime/a.ts', '#wire/path.ts', false),
  uses('shared/runtime/a.ts', '#simulation/chance.ts', false),
  uses('shared/runtime/a.ts', '#services/api/root.ts', false),
  uses('shared/runtime/a.ts', '#bin/cli/client.ts', false),
  uses('shared/runtime/a.ts', '../store/open.ts', false),

  uses('shared/store/a.ts', '#runtime/config.ts', true),
  uses('shared/store/a.ts', './layout/keys.ts', true),
  uses('shared/store/a.ts', '../queue/message.ts', false),
  ...['children', 'connection', 'enrolment', 'layout', 'releases'].flatMap((room): Case[] => [
    uses(`shared/store/${room}/a.ts`, '#domain/plan/plan.ts', true),
    uses(`shared/store/${room}/a.ts`, '#store/layout/keys.ts', true),
    uses(`shared/store/${room}/a.ts`, './b.ts', true),
    uses(`shared/store/${room}/a.ts`, '#simulation/chance.ts', false),
    uses(`shared/store/${room}/a.ts`, '#services/api/root.ts', false),
    uses(`shared/store/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
    uses(`shared/store/${room}/a.ts`, '#bin/migrate/migrate.ts', false),
    uses(`shared/store/${room}/a.ts`, '#test/harness/until.ts', false),
    uses(`shared/store/${room}/a.ts`, '../../queue/message.ts', false),
    uses(`shared/store/${room}/a.ts`, '../../../workers/scheduler/tick.ts', false),
  ]),
  uses('shared/queue/a.ts', '#store/layout/keys.ts', true),
  uses('shared/queue/a.ts', '#services/api/child/deps.ts', false),
  uses('shared/queue/a.ts', '../store/layout/keys.ts', false),
  uses('shared/queue/a.ts', '../../services/api/root.ts', false),
  uses('shared/bundle/a.ts', '#wire/release/release-file.ts', true),
  uses('shared/bundle/a.ts', '#store/layout/keys.ts', false),
  uses('shared/bundle/a.ts', '#queue/message.ts', false),
  uses('shared/bundle/a.ts', '#simulation/chance.ts', false),

  uses('services/api/a.ts', './child/deps.ts', true),
  uses('services/api/a.ts', '#store/layout/keys.ts', true),
  uses('services/api/a.ts', '#workers/scheduler/tick.ts', false),
  uses('services/api/a.ts', '#services/all/root.ts', false),
  uses('services/api/a.ts', '#bin/cli/client.ts', false),
  uses('services/api/a.ts', '../all/root.ts', false),
  uses('services/api/a.ts', '#test/harness/until.ts', false),
  ['services/api/a.ts', "export { x } from '#workers/root.ts';\n", false],
  ['services/api/a.ts', "export const x = await import('#workers/root.ts');\n", false],
  ['services/api/a.ts', "export type { X } from '#workers/root.ts';\n", false],
  ['services/api/a.ts', ENV, false],
  ['services/api/a.ts', 'const { env } = process;\nexport const e = env;\n', false],
  ...['cache', 'child', 'ingest', 'long-poll', 'operator', 'overload', 'publish'].flatMap((room): Case[] => [
    uses(`services/api/${room}/a.ts`, '../app.ts', true),
    uses(`services/api/${room}/a.ts`, '../overload/load-guard.ts', true),
    uses(`services/api/${room}/a.ts`, '#simulation/earliest.ts', true),
    uses(`services/api/${room}/a.ts`, '../../all/root.ts', false),
    uses(`services/api/${room}/a.ts`, '../../../workers/scheduler/tick.ts', false),
    uses(`services/api/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
    uses(`services/api/${room}/a.ts`, '#bin/text/tables.ts', false),
  ]),
  ...['controls', 'events', 'releases', 'views'].flatMap((room): Case[] => [
    uses(`services/api/operator/${room}/a.ts`, '../route.ts', true),
    uses(`services/api/operator/${room}/a.ts`, '../views/release-view.ts', true),
    uses(`services/api/operator/${room}/a.ts`, '../../../all/root.ts', false),
    uses(`services/api/operator/${room}/a.ts`, '../../../../workers/scheduler/tick.ts', false),
    uses(`services/api/operator/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
  ]),
  uses('services/new/a.ts', '#services/api/root.ts', false),

  uses('workers/a.ts', './apply/apply-batch.ts', true),
  uses('workers/a.ts', '../services/api/root.ts', false),
  ...['apply', 'enrolment', 'maintenance', 'scheduler'].flatMap((room): Case[] => [
    uses(`workers/${room}/a.ts`, './b.ts', true),
    uses(`workers/${room}/a.ts`, '#queue/message.ts', true),
    uses(`workers/${room}/a.ts`, '../root.ts', false),
    uses(`workers/${room}/a.ts`, '../other/tick.ts', false),
    uses(`workers/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
    uses(`workers/${room}/a.ts`, '#services/api/child/deps.ts', false),
    uses(`workers/${room}/a.ts`, '#bin/cli/client.ts', false),
    [`workers/${room}/a.ts`, ENV, false],
  ]),

  uses('services/all/a.ts', '#services/api/root.ts', true),
  uses('services/all/a.ts', '#workers/root.ts', true),
  uses('services/all/a.ts', '#bin/cli/client.ts', false),
  uses('services/all/a.ts', '#bin/simulate/fleet.ts', false),
  uses('services/all/a.ts', '../api/root.ts', false),
  uses('services/all/a.ts', '../../bin/cli/client.ts', false),
  ['services/all/a.ts', ENV, false],

  ...['offline', 'repartition', 'migrate'].flatMap((room): Case[] => [
    uses(`bin/${room}/a.ts`, '#store/layout/keys.ts', true),
    uses(`bin/${room}/a.ts`, '#queue/catalogue.ts', true),
    uses(`bin/${room}/a.ts`, '#services/api/root.ts', false),
    uses(`bin/${room}/a.ts`, '#services/all/embedded-redis.ts', false),
    uses(`bin/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
    uses(`bin/${room}/a.ts`, '#simulation/chance.ts', false),
    uses(`bin/${room}/a.ts`, '#bin/cli/client.ts', false),
    uses(`bin/${room}/a.ts`, '../cli/client.ts', false),
    uses(`bin/${room}/a.ts`, '../simulate/fleet.ts', false),
    uses(`bin/${room}/a.ts`, '../../services/api/root.ts', false),
    [`bin/${room}/a.ts`, ENV, false],
  ]),
  uses('bin/repartition/a.ts', '../offline/alone.ts', true),
  uses('bin/migrate/a.ts', '../offline/alone.ts', true),
  uses('bin/migrate/a.ts', '../repartition/move.ts', false),
  uses('bin/repartition/a.ts', '../migrate/jobs.ts', false),

  ...['cli', 'simulate', 'simulate-plan'].flatMap((room): Case[] => [
    uses(`bin/${room}/a.ts`, './b.ts', true),
    uses(`bin/${room}/a.ts`, '../text/tables.ts', true),
    uses(`bin/${room}/a.ts`, '#domain/duration.ts', true),
    uses(`bin/${room}/a.ts`, '#wire/operator/requests.ts', true),
    uses(`bin/${room}/a.ts`, '#bundle/release-folder.ts', true),
    uses(`bin/${room}/a.ts`, '#store/layout/keys.ts', false),
    uses(`bin/${room}/a.ts`, '#queue/message.ts', false),
    uses(`bin/${room}/a.ts`, '#services/api/root.ts', false),
    uses(`bin/${room}/a.ts`, '#workers/scheduler/tick.ts', false),
    uses(`bin/${room}/a.ts`, '#bin/repartition/move.ts', false),
    uses(`bin/${room}/a.ts`, '../repartition/move.ts', false),
    uses(`bin/${room}/a.ts`, '../offline/open-data.ts', false),
    uses(`bin/${room}/a.ts`, '../../shared/store/layout/keys.ts', false),
    [`bin/${room}/a.ts`, ENV, false],
  ]),
  uses('bin/cli/a.ts', '../simulate/fleet.ts', false),
  uses('bin/simulate/a.ts', '../cli/client.ts', false),
  uses('bin/simulate-plan/a.ts', '../simulate/fleet.ts', false),
  uses('bin/simulate-plan/a.ts', '#simulation/simulate.ts', true),
  uses('bin/simulate/a.ts', '#simulation/chance.ts', true),
  uses('bin/text/a.ts', './b.ts', true),
  uses('bin/text/a.ts', '#wire/operator/responses.ts', true),
  uses('bin/text/a.ts', '../cli/client.ts', false),
  uses('bin/text/a.ts', '#bin/cli/client.ts', false),
  uses('bin/text/a.ts', '#store/layout/keys.ts', false),
  uses('bin/text/a.ts', '#services/api/root.ts', false),
  ['bin/text/a.ts', ENV, false],

  uses('bin/main.ts', './cli/commands.ts', true),
  uses('bin/main.ts', './simulate/command.ts', true),
  uses('bin/main.ts', '#services/all/embedded-redis.ts', true),
  uses('bin/main.ts', '#services/api/root.ts', false),
  uses('bin/main.ts', '#services/all/root.ts', false),
  uses('bin/main.ts', '#workers/root.ts', false),
  uses('bin/main.ts', '#store/layout/keys.ts', false),
  ['bin/main.ts', ENV, false],

  ['shared/runtime/config.ts', ENV, true],
  ['scripts/a.ts', ENV, true],
  ['bench/lib/a.ts', ENV, true],
  ['test/harness/a.ts', ENV, true],
  uses('test/harness/a.ts', '#services/api/root.ts', true),
  uses('bench/lib/a.ts', '../../shared/store/layout/keys.ts', true),
];

/** Each case with what is found of it. Several about one very file are in copies of their own. */
function lintAll(cases: readonly Case[]): boolean[] {
  const seen = new Map<string, number>();
  const copyOf = cases.map(([file]) => {
    const before = file.endsWith('/a.ts') ? 0 : (seen.get(file) ?? 0);
    seen.set(file, before + 1);
    return before;
  });
  const found = new Map<Case, boolean>();
  for (const copy of new Set(copyOf)) {
    const some = cases.filter((_, i) => copyOf[i] === copy);
    lint(some).forEach((allowed, i) => found.set(some[i] as Case, allowed));
  }
  return cases.map((each) => found.get(each) as boolean);
}

/** The file of a case in its folder, under a name of its own, except what is about one very file. */
function lint(cases: readonly Case[]): boolean[] {
  const dir = mkdtempSync(join(tmpdir(), 'choir-lint-'));
  try {
    cpSync('.oxlintrc.json', join(dir, '.oxlintrc.json'));
    const files = cases.map(([file, code], i) => {
      const own = file.endsWith('/a.ts') ? file.replace(/a\.ts$/, `case-${i}.ts`) : file;
      mkdirSync(join(dir, dirname(own)), { recursive: true });
      writeFileSync(join(dir, own), code);
      return own;
    });
    const { stdout } = spawnSync(OXLINT, ['-c', '.oxlintrc.json', '--format', 'json'], { cwd: dir, encoding: 'utf8' });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { filename: string; code: string }[] };
    const refused = new Set(
      diagnostics
        .filter(({ code }) => /no-restricted-(imports|properties)|no-relative-parent-imports/.test(code))
        .map(({ filename }) => filename),
    );
    return files.map((file) => !refused.has(file));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe('the layer rules', () => {
  it('refuse what leads up or across, and allow what leads down', () => {
    const found = lintAll(CASES);
    const wrong = CASES.flatMap(([file, code, allowed], i) =>
      found[i] === allowed ? [] : [`${file} is ${allowed ? 'refused' : 'allowed'}: ${code}`],
    );
    expect(wrong).toEqual([]);
  });
});
