/** Writes what docs/ holds of the code's own tables; with --check it says what is out of date instead. */
import { readFileSync, writeFileSync } from 'node:fs';
import { format } from 'node:util';
import { ROLLOUT_TRANSITIONS } from '#domain/rollout.ts';
import { RELEASE_STATUSES, STAGE_STATUSES } from '#domain/status.ts';
import { API_VERSION, operatorRoutes } from '#services/api/app.ts';
import { openApiDocument } from '#services/api/operator/openapi.ts';
import type { OperatorDeps } from '#services/api/operator/releases.ts';
import { PROBLEMS } from '#wire/problem.ts';

/** Routes are described without being called: nothing behind them is needed. */
const described = operatorRoutes({ children: {}, releases: {} } as unknown as OperatorDeps);

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const FILES: Record<string, () => string> = {
  'docs/openapi.json': () => `${JSON.stringify(openApiDocument(described, API_VERSION), null, 2)}\n`,
  'docs/errors.md': () =>
    `# Errors of the operator API\n\nGenerated from \`shared/wire/problem.ts\` by \`npm run docs\`. Each is an RFC 9457 problem of the type\n\`urn:umbilical-choir:problem:<code>\`.\n\n${table(
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
