/** Writes what docs/ and lua/ hold of the code's own tables; with --check it says what is out of date instead. */
import type { OperatorDeps } from '#services/api/operator/deps.ts';
import { readFileSync, writeFileSync } from 'node:fs';
import { format } from 'node:util';
import { ROLLOUT_TRANSITIONS } from '#domain/rollout/rollout.ts';
import { FLAG, FLAG_SUMS } from '#domain/child/flags.ts';
import { DONE_RANK, STAGE_RANK } from '#domain/child/progress.ts';
import { FOLLOWING } from '#domain/child/report.ts';
import { RELEASE_STATUSES, ReleaseStatus, STAGE_STATUSES, StageStatus } from '#domain/child/status.ts';
import { ACCURACY, LARGEST, SMALLEST } from '#domain/counts/sketch.ts';
import { CHILD_FIELDS } from '#store/children/child-fields.ts';
import { API_VERSION, operatorRoutes } from '#services/api/app.ts';
import { openApiDocument } from '#services/api/operator/openapi.ts';
import { PROBLEMS } from '#wire/operator/problem.ts';

/** Routes are described without being called: nothing behind them is needed. */
const described = operatorRoutes({ children: {}, releases: {} } as unknown as OperatorDeps);

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** A table of Lua from one of ours. Numbers only. */
const luaTable = (name: string, values: Readonly<Record<string, number>>): string =>
  `local ${name} = {${Object.entries(values)
    .map(([key, n]) => `${key} = ${n}`)
    .join(', ')}}`;

const LUA_HEAD = (from: string): string => `-- Generated from ${from} by \`npm run docs\`.`;

const FILES: Record<string, () => string> = {
  'shared/store/lua/includes/domain.lua': () =>
    `${[
      LUA_HEAD('shared/domain'),
      luaTable('RELEASE', ReleaseStatus),
      luaTable('STAGE', StageStatus),
      luaTable('FLAG', FLAG),
      `local FLAG_SUMS, STAGE_RANK, DONE_RANK = ${FLAG_SUMS}, ${STAGE_RANK}, ${DONE_RANK}`,
      `local FOLLOWING = ${FOLLOWING}`,
      `local ACCURACY, SMALLEST, LARGEST = ${ACCURACY}, ${SMALLEST}, ${LARGEST}`,
    ].join('\n')}\n`,
  'shared/store/lua/includes/child-fields.lua': () =>
    `${LUA_HEAD('shared/store/children/child-fields.ts')}\nlocal CHILD_FIELDS = {${Object.keys(CHILD_FIELDS)
      .map((field) => `'${field}'`)
      .join(', ')}}\n`,
  'docs/openapi.json': () => `${JSON.stringify(openApiDocument(described, API_VERSION), null, 2)}\n`,
  'docs/errors.md': () =>
    `# Errors of the operator API\n\nGenerated from \`shared/wire/operator/problem.ts\` by \`npm run docs\`. Each is an RFC 9457 problem of the type\n\`urn:umbilical-choir:problem:<code>\`.\n\n${table(
      ['code', 'status', 'try again', 'title'],
      Object.entries(PROBLEMS).map(([code, { status, retryable, title }]) => [
        `\`${code}\``,
        String(status),
        retryable ? 'yes' : 'no',
        title,
      ]),
    )}\n`,
  'docs/states.md': () =>
    `# States\n\nGenerated from \`shared/domain\` by \`npm run docs\`.\n\n## A rollout\n\n${table(
      ['state', 'may become'],
      Object.entries(ROLLOUT_TRANSITIONS).map(([from, to]) => [from, to.join(', ')]),
    )}\n\n## A release, for a child\n\n${table(
      ['ordinal', 'status'],
      RELEASE_STATUSES.map((name, i) => [String(i), name]),
    )}\n\n## A stage, for a child\n\n${table(
      ['ordinal', 'status'],
      STAGE_STATUSES.map((name, i) => [String(i), name]),
    )}\n`,
};

const check = process.argv.includes('--check');
const stale = Object.entries(FILES).filter(([file, make]) => {
  const text = make();
  if (!check) writeFileSync(file, text);
  return check && readFileSync(file, 'utf8') !== text;
});
if (stale.length > 0) {
  process.stderr.write(format('out of date, run "npm run docs":', stale.map(([file]) => file).join(', '), '\n'));
  process.exitCode = 1;
}
