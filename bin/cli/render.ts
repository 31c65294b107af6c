/** Releases as text. Pure: a view in, lines out. */
import { styleText } from 'node:util';
import type { ReleaseView, StageProgressView } from '#wire/operator/responses.ts';

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
  const { locations, locations_through, aside, to_skip } = release.progress;
  const lines = [...headLines(release), ...childrenLines(release), ...locationsLine(release)];
  if (to_skip.length > 0) lines.push(`  to skip   ${to_skip.slice(0, 10).join(', ')}`);
  if (release.reverted_by !== null) lines.push(`  taken back by release ${release.reverted_by}`);
  lines.push(...stageLines(release));
  if (locations.length > 1 || locations_through + aside.length > 0) lines.push(...locationLines(release));
  return [...lines, ...release.waiting.flatMap(waitLines)].join('\n');
}

function headLines({ id, name, state, plan, version, reason }: ReleaseView): string[] {
  const color = STATES[state];
  const shown = color === undefined ? state : styleText(color, state, { stream: process.stdout });
  return [
    `${id}  ${name}  ${shown}  (${plan.name})  v${version}`,
    ...(reason === null ? [] : [`  reason    ${reason}`]),
  ];
}

function childrenLines(release: ReleaseView): string[] {
  const { children, not_enrolled } = release.progress;
  const all = total(release);
  const done = children.Done ?? 0;
  const counts = Object.entries(children).flatMap(([name, n]) => ((n ?? 0) > 0 ? [`${n} ${name}`] : []));
  const lines = [
    `  children  ${bar(done, all)} ${done} of ${all} Done${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`,
  ];
  for (const text of apartText(release.progress)) lines.push(`            ${text}`);
  if (not_enrolled.silent > 0) lines.push(`            ${not_enrolled.silent} not enrolled: silent at the start`);
  if (not_enrolled.outside > 0) lines.push(`            ${not_enrolled.outside} not enrolled: outside every region`);
  return lines;
}

/** One location needs no line of its own. */
function locationsLine({ progress }: ReleaseView): string[] {
  const { locations_through: completed, locations_to_come: toCome, aside, locations } = progress;
  if (completed + toCome + aside.length + locations.length <= 1) return [];
  const leftOut = aside.length > 0 ? `, ${aside.length} left out` : '';
  return [`  locations ${completed} completed, ${locations.length} open, ${toCome} to come${leftOut}`];
}

function stageLines(release: ReleaseView): string[] {
  const { stages, locations, locations_through } = release.progress;
  const all = total(release);
  const width = Math.max(0, ...stages.map((stage) => stage.name.length));
  const [open] = locations;
  return stages.map((stage, i) => {
    // With one location for all, its stages tell of gates as well.
    const shown = locations.length === 1 && locations_through === 0 ? (open?.stages[i] ?? stage) : stage;
    return `  ${stage.name.padEnd(width)}  ${bar(stage.Completed ?? 0, all)} ${stageText(shown)}`;
  });
}

function waitLines(wait: ReleaseView['waiting'][number]): string[] {
  const where = [wait.location === 'all' ? null : wait.location, wait.stage].filter((part) => part !== null).join(', ');
  const more = Number(/^(\d+) of/.exec(wait.for)?.[1] ?? 0) - wait.details.length;
  return [
    `  waits     ${where === '' ? '' : `in ${where} `}for ${wait.for}`,
    ...wait.details.map((child) => `            ${child.id}  ${childText(child)}`),
    ...(wait.details.length > 0 && more > 0 ? [`            and ${more} more`] : []),
  ];
}

/** Children that are in the release, and yet count for nothing or against it. */
const apartText = ({ lost, overdue, ejected }: ReleaseView['progress']): string[] =>
  lost + overdue + ejected === 0
    ? []
    : [
        [
          lost > 0 ? `${lost} lost` : '',
          overdue > 0 ? `${overdue} overdue` : '',
          ejected > 0 ? `${ejected} ejected` : '',
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
