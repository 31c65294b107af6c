/** Releases as text. Pure: a view in, lines out. */
import { styleText } from 'node:util';
import type { ReleaseView, StageProgressView } from '#wire/operator.ts';

const BAR = 24;
const STATES: Partial<Record<ReleaseView['state'], Parameters<typeof styleText>[0]>> = {
  running: 'cyan',
  completed: 'green',
  halted: 'red',
  aborted: 'yellow',
  paused: 'yellow',
  reverting: 'magenta',
  reverted: 'magenta',
};
const SHOWN = ['InProgress', 'SuccessWaiting', 'ShouldEnd', 'Completed', 'Failure', 'Error'] as const;

const total = (release: ReleaseView): number =>
  Object.values(release.progress.children).reduce((sum: number, n) => sum + (n ?? 0), 0);

export function renderRelease(release: ReleaseView): string {
  const color = STATES[release.state];
  const state = color === undefined ? release.state : styleText(color, release.state, { stream: process.stdout });
  const { children, not_enrolled, locations_through, locations_to_come, locations, aside } = release.progress;
  const all = total(release);
  const done = children.Done ?? 0;
  const counts = Object.entries(children)
    .filter(([, n]) => (n ?? 0) > 0)
    .map(([name, n]) => `${n} ${name}`);
  const lines = [
    `${release.id}  ${release.name}  ${state}  (${release.plan.name})  v${release.version}`,
    ...(release.reason === null ? [] : [`  reason    ${release.reason}`]),
    `  children  ${bar(done, all)} ${done} of ${all} Done${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`,
  ];
  for (const text of apartText(release.progress)) lines.push(`            ${text}`);
  if (not_enrolled.silent > 0) lines.push(`            ${not_enrolled.silent} not enrolled: silent at the start`);
  if (not_enrolled.outside > 0) lines.push(`            ${not_enrolled.outside} not enrolled: outside every region`);
  if (locations_through + locations_to_come + aside.length + locations.length > 1)
    lines.push(
      `  locations ${locations_through} through, ${locations.length} open, ${locations_to_come} to come${aside.length > 0 ? `, ${aside.length} left out` : ''}`,
    );
  if (release.progress.to_skip.length > 0)
    lines.push(`  to skip   ${release.progress.to_skip.slice(0, 10).join(', ')}`);
  if (release.reverted_by !== null) lines.push(`  taken back by release ${release.reverted_by}`);
  const width = Math.max(0, ...release.progress.stages.map((stage) => stage.name.length));
  const [open] = release.progress.locations;
  release.progress.stages.forEach((stage, i) => {
    // With one location for all, its stages tell of gates as well.
    const shown =
      release.progress.locations.length === 1 && locations_through === 0 ? (open?.stages[i] ?? stage) : stage;
    lines.push(`  ${stage.name.padEnd(width)}  ${bar(stage.Completed ?? 0, all)} ${stageText(shown)}`);
  });
  if (locations.length > 1 || locations_through + aside.length > 0) lines.push(...locationLines(release));
  for (const wait of release.waiting) {
    const where = [wait.location === 'all' ? null : wait.location, wait.stage]
      .filter((part) => part !== null)
      .join(', ');
    lines.push(`  waits     ${where === '' ? '' : `in ${where} `}for ${wait.for}`);
    for (const child of wait.details) lines.push(`            ${child.id}  ${childText(child)}`);
    const more = Number(/^(\d+) of/.exec(wait.for)?.[1] ?? 0) - wait.details.length;
    if (wait.details.length > 0 && more > 0) lines.push(`            and ${more} more`);
  }
  return lines.join('\n');
}

/** Children who are in the release, and yet count for nothing or against it. */
const apartText = ({ lost, overdue, ejected }: ReleaseView['progress']): string[] =>
  lost + overdue + ejected === 0
    ? []
    : [
        [
          lost > 0 ? `${lost} lost` : '',
          overdue > 0 ? `${overdue} overdue` : '',
          ejected > 0 ? `${ejected} taken out` : '',
        ]
          .filter((text) => text !== '')
          .join(', '),
      ];

const MAX_LOCATIONS = 16;

/** A line per open location, and per one that was left out. */
function locationLines({ progress, plan }: ReleaseView): string[] {
  if (plan.name === 'location-sequential') return [];
  const { locations, aside } = progress;
  const width = Math.max(0, ...[...locations, ...aside].map(({ id }) => id.length));
  const open = locations.map((each) => {
    const parts = each.stages.flatMap((stage) => {
      const inside = (stage.InProgress ?? 0) + (stage.SuccessWaiting ?? 0) + (stage.ShouldEnd ?? 0);
      return inside > 0 ? [`${inside} in ${stage.name}`] : [];
    });
    const bad = [each.failed > 0 ? `${each.failed} failed` : '', each.lost > 0 ? `${each.lost} lost` : ''].filter(
      (text) => text !== '',
    );
    const state = each.held === null ? 'open' : 'HELD';
    return `    ${each.id.padEnd(width)}  ${state.padEnd(9)} ${String(each.children ?? each.enrolled).padStart(6)}  ${[...parts, ...bad].join(', ')}`;
  });
  const left = aside.map(
    ({ id, as, reason, children, release }) =>
      `    ${id.padEnd(width)}  ${as.padEnd(9)} ${String(children).padStart(6)}  ${reason}${release === null ? '' : ` (${release})`}`,
  );
  const all = [...open, ...left];
  return all.length > MAX_LOCATIONS
    ? [...all.slice(0, MAX_LOCATIONS), `    and ${all.length - MAX_LOCATIONS} more`]
    : all;
}

function childText({
  silent_seconds,
  left_release,
  lost_in_seconds,
  runs,
}: ReleaseView['waiting'][number]['details'][number]): string {
  if (silent_seconds === null) return 'no longer known';
  if (runs !== null) return `busy with release ${runs}`;
  if (left_release) return 'left the release: it polls again without having finished';
  const lost =
    lost_in_seconds === null ? '' : lost_in_seconds > 0 ? `, lost in ${lost_in_seconds} s` : ', about to be lost';
  return `last seen ${silent_seconds} s ago${lost}`;
}

function stageText(stage: StageProgressView): string {
  const parts = SHOWN.flatMap((name) => ((stage[name] ?? 0) > 0 ? [`${stage[name]} ${name}`] : []));
  const { f1_response_ms: f1, f2_response_ms: f2, f2_error_rate: errors } = stage.metrics;
  if (f1.p50 !== null && f2.p50 !== null && errors.p50 !== null)
    parts.push(`${f1.p50.toFixed(1)} → ${f2.p50.toFixed(1)} ms, ${(errors.p50 * 100).toFixed(1)} % errors`);
  return parts.join(', ');
}

function bar(value: number, all: number): string {
  const filled = all === 0 ? 0 : Math.floor((value / all) * BAR);
  return '█'.repeat(filled) + '░'.repeat(BAR - filled);
}

/** Faults and warnings of a release, one per line. */
export const renderFindings = (label: string, findings: readonly { path: string; message: string }[]): string =>
  findings.map(({ path, message }) => `${label}: ${path === '' ? '' : `${path} `}${message}`).join('\n');

export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
