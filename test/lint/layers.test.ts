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
  uses('shared/domain/a.ts', './plan.ts', true),
  uses('shared/domain/a.ts', '#wire/child.ts', false),
  uses('shared/domain/model/a.ts', '#domain/plan.ts', true),
  uses('shared/domain/model/a.ts', './pool.ts', true),
  uses('shared/domain/model/a.ts', '#wire/child.ts', false),
  uses('shared/domain/model/a.ts', '../../wire/child.ts', false),
  uses('shared/domain/a.ts', '../wire/child.ts', false),
  uses('shared/domain/a.ts', 'node:fs', false),
  uses('shared/domain/a.ts', 'zod', false),
  ['shared/domain/a.ts', 'export const r = Math.random();\n', false],
  ['shared/domain/a.ts', ENV, false],

  uses('shared/wire/a.ts', '#domain/plan.ts', true),
  uses('shared/wire/a.ts', '#runtime/config.ts', false),
  uses('shared/wire/a.ts', '#store/keys.ts', false),
  uses('shared/runtime/a.ts', '#wire/child.ts', false),
  uses('shared/runtime/a.ts', '#services/api/root.ts', false),
  uses('shared/runtime/a.ts', '../store/keys.ts', false),

  uses('shared/store/a.ts', '#domain/plan.ts', true),
  uses('shared/store/a.ts', '#runtime/config.ts', true),
  uses('shared/store/a.ts', './keys.ts', true),
  uses('shared/store/a.ts', '#services/api/root.ts', false),
  uses('shared/store/a.ts', '#workers/scheduler/tick.ts', false),
  uses('shared/store/a.ts', '#test/harness/until.ts', false),
  uses('shared/store/a.ts', '../queue/message.ts', false),
  uses('shared/queue/a.ts', '#store/keys.ts', true),
  uses('shared/queue/a.ts', '#services/api/child/deps.ts', false),
  uses('shared/queue/a.ts', '../../services/api/root.ts', false),
  uses('shared/bundle/a.ts', '#store/keys.ts', false),
  uses('shared/bundle/a.ts', '#queue/message.ts', false),

  uses('services/api/a.ts', './child/deps.ts', true),
  uses('services/api/a.ts', '#store/keys.ts', true),
  uses('services/api/a.ts', '#workers/scheduler/tick.ts', false),
  uses('services/api/a.ts', '#services/cli/client.ts', false),
  uses('services/api/a.ts', '../simulator/fleet.ts', false),
  uses('services/api/a.ts', '#test/harness/until.ts', false),
  ['services/api/a.ts', "export { x } from '#workers/intake/root.ts';\n", false],
  ['services/api/a.ts', "export const x = await import('#workers/intake/root.ts');\n", false],
  ['services/api/a.ts', "export type { X } from '#workers/intake/root.ts';\n", false],
  ['services/api/a.ts', ENV, false],
  ['services/api/a.ts', 'const { env } = process;\nexport const e = env;\n', false],
  uses('services/api/child/a.ts', '../app.ts', true),
  uses('services/api/child/a.ts', '../operator/views.ts', true),
  uses('services/api/child/a.ts', '../../cli/client.ts', false),
  uses('services/api/child/a.ts', '../../../workers/scheduler/tick.ts', false),
  uses('services/api/child/a.ts', '#workers/scheduler/tick.ts', false),
  uses('services/new/a.ts', '#services/api/root.ts', false),

  uses('workers/intake/a.ts', './throttle.ts', true),
  uses('workers/intake/a.ts', '#queue/message.ts', true),
  uses('workers/intake/a.ts', '../scheduler/tick.ts', false),
  uses('workers/intake/a.ts', '#workers/scheduler/tick.ts', false),
  uses('workers/intake/a.ts', '#services/api/child/deps.ts', false),
  ['workers/intake/a.ts', ENV, false],

  uses('services/all/a.ts', '#services/api/root.ts', true),
  uses('services/all/a.ts', '#workers/intake/root.ts', true),
  uses('services/all/a.ts', '#services/cli/client.ts', false),
  uses('services/all/a.ts', '#services/simulator/fleet.ts', false),
  ['services/all/a.ts', ENV, false],

  uses('services/repartition/a.ts', '#store/keys.ts', true),
  uses('services/repartition/a.ts', '#services/all/embedded-redis.ts', true),
  uses('services/repartition/a.ts', '#services/api/root.ts', false),
  uses('services/repartition/a.ts', '#workers/scheduler/tick.ts', false),
  uses('services/repartition/a.ts', '../api/root.ts', false),

  uses('services/cli/a.ts', '#wire/operator.ts', true),
  uses('services/cli/a.ts', '#bundle/release-folder.ts', true),
  uses('services/cli/a.ts', '#store/keys.ts', false),
  uses('services/cli/a.ts', '#services/simulator/fleet.ts', false),
  uses('services/cli/a.ts', '../simulator/fleet.ts', false),
  uses('services/cli/a.ts', '../../shared/store/keys.ts', false),
  uses('services/simulator/a.ts', '#domain/duration.ts', true),
  uses('services/simulator/a.ts', '#queue/message.ts', false),
  uses('services/simulator/a.ts', '#services/cli/client.ts', false),

  uses('bin/a.ts', '#services/cli/commands.ts', true),
  uses('bin/a.ts', '#services/simulator/command.ts', true),
  uses('bin/a.ts', '#services/api/root.ts', false),
  uses('bin/a.ts', '#services/all/root.ts', false),
  uses('bin/a.ts', '#services/all/embedded-redis.ts', true),
  uses('bin/a.ts', '#store/keys.ts', false),
  ['bin/a.ts', ENV, false],

  ['shared/runtime/config.ts', ENV, true],
  ['scripts/a.ts', ENV, true],
  ['bench/lib/a.ts', ENV, true],
  ['test/harness/a.ts', ENV, true],
  uses('test/harness/a.ts', '#services/api/root.ts', true),
  uses('bench/lib/a.ts', '../../shared/store/keys.ts', true),
];

/** The file of a case in its folder, under a name of its own; what is about one very file is in another copy. */
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
    const found = lint(CASES);
    const wrong = CASES.flatMap(([file, code, allowed], i) =>
      found[i] === allowed ? [] : [`${file} is ${allowed ? 'refused' : 'allowed'}: ${code}`],
    );
    expect(wrong).toEqual([]);
  });
});
