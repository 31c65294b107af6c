/** The simulated course of a plan as text. Pure: what happened in, lines out. */
import { durationText } from '#domain/duration.ts';
import type { Entry, Happening } from '#simulation/course.ts';
import type { SimulateOptions, Simulation } from '#simulation/simulate.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { table } from '../text/tables.ts';

const MOST_LINES = 60;
const FIRST = 24;
const LAST = 12;
const MOST_WAVES = 24;
const NAMES = 4;

export function renderSimulation(
  options: SimulateOptions,
  { course, end, children, ticks }: Simulation,
  seconds: number,
): string {
  const { state, reason, atMs, cut, waits } = end;
  const lines = [
    header(options),
    '',
    courseTable(course),
    '',
    `${state}${reason === null ? '' : `: ${reason}`}`,
    `  after    ${clock(atMs)}${cut === null ? '' : ` (the simulation ends here: ${cut === 'time' ? '--until' : 'too many ticks'})`}`,
    `  children ${number(children.done)} Done, ${number(children.failed)} Failed, ${number(children.lost)} lost, of ${number(children.all)}`,
    ...waits.slice(0, LAST).map((wait) => {
      const where = [wait.location, wait.stage].filter((part) => part !== null).join(', ');
      return `  waits    ${where === '' ? '' : `in ${where} `}for ${wait.for}`;
    }),
    ...(waits.length > LAST ? [`           and ${number(waits.length - LAST)} more`] : []),
    `  computed in ${seconds.toFixed(2)} s, ${number(ticks)} ticks`,
  ];
  return lines.join('\n');
}

function header({ plan, stages, locations, behaviour, lateJoiners }: SimulateOptions): string {
  const sizes = locations.map(({ children }) => children);
  const all = sizes.reduce((sum, n) => sum + n, 0);
  const least = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  const most = sizes.reduce((a, b) => Math.max(a, b), 0);
  const each = least === most ? number(most) : `${number(least)} to ${number(most)}`;
  const shares = [
    behaviour.fail.all > 0 ? `${percent(behaviour.fail.all)} fail` : '',
    ...Object.entries(behaviour.fail.locations ?? {}).map(([id, value]) => `${percent(value)} fail in ${id}`),
    behaviour.lost.all > 0 ? `${percent(behaviour.lost.all)} fall silent` : '',
    ...Object.entries(behaviour.lost.locations ?? {}).map(([id, value]) => `${percent(value)} fall silent in ${id}`),
    (lateJoiners?.children ?? 0) > 0 ? `${number(lateJoiners?.children ?? 0)} join late` : '',
  ].filter((text) => text !== '');
  return [
    `plan     ${plan.name}: ${planText(plan)}`,
    `stages   ${stages.map(({ name, type, minDurationMs }) => `${name} (${type}, ${durationText(minDurationMs)})`).join(', ')}`,
    `fleet    ${number(all)} children${placesText(plan, sizes.length, each)}, a poll each ${durationText(behaviour.pollMs)}${shares.length > 0 ? `; ${shares.join(', ')}` : ''}`,
  ].join('\n');
}

function placesText({ locations: { by } }: Plan, count: number, each: string): string {
  if (by === 'all') return ' in one location';
  return by === 'child' ? ', each a location' : ` in ${number(count)} locations of ${each}`;
}

function planText({ waves, waveSoakMs, stages, advance, failure }: Plan): string {
  const together =
    waves.kind === 'fixed'
      ? `${number(waves.size)} at a time`
      : waves.kind === 'doubling'
        ? '1, 2, 4, … at a time'
        : `until ${waves.shares.map(percent).join(', ')} have started`;
  const budgets = [failure.all, failure.location].map((budget) =>
    budget === null ? 'none' : `${number(budget.count)} or ${percent(budget.share)}, then ${budget.then}`,
  );
  return [
    together,
    waveSoakMs > 0 ? `${durationText(waveSoakMs)} between waves` : '',
    stages === 'lockstep' ? 'stages in lockstep' : 'each at its own pace',
    advance.quorum < 1 ? `quorum ${percent(advance.quorum)}` : '',
    advance.soakMs > 0 ? `${durationText(advance.soakMs)} of soak` : '',
    `budget of failures: ${budgets[0]}; of each location: ${budgets[1]}`,
  ]
    .filter((text) => text !== '')
    .join(', ');
}

type Line = { atMs: number; wave: number; text: string; children: Entry['children'] };

/** All that happened; of a long course the beginning, what became of each wave, and the end. */
function courseTable(course: readonly Entry[]): string {
  const lines = linesOf(course);
  const shown =
    lines.length <= MOST_LINES ? lines : [...lines.slice(0, FIRST), ...wavesOf(course, lines), ...lines.slice(-LAST)];
  const rows = shown.map(({ atMs, text, children }) => [
    clock(atMs),
    text,
    number(children.done),
    number(children.failed),
    number(children.lost),
  ]);
  return table([['TIME', 'WHAT', 'DONE', 'FAILED', 'LOST'], ...rows]);
}

/** What happens to several locations at a time is one line. */
function linesOf(course: readonly Entry[]): Line[] {
  const lines: Line[] = [];
  for (let i = 0; i < course.length;) {
    const first = course[i];
    if (first === undefined) break;
    let end = i + 1;
    while (end < course.length && isSame(first, course[end])) end += 1;
    const some = course.slice(i, end);
    const { children } = some.at(-1) ?? first;
    lines.push({ atMs: first.atMs, wave: first.wave, text: textOf(some.map(({ what }) => what)), children });
    i = end;
  }
  return lines;
}

function isSame({ atMs, what }: Entry, other: Entry | undefined): boolean {
  if (other === undefined || other.atMs !== atMs || other.what.kind !== what.kind) return false;
  if (what.kind === 'gate') return 'stage' in other.what && other.what.stage === what.stage;
  return what.kind === 'enrolled' || what.kind === 'completed';
}

function textOf(what: readonly Happening[]): string {
  const [first] = what;
  if (first === undefined) return '';
  const names = namesOf(what.flatMap((each) => ('location' in each && each.location !== null ? [each.location] : [])));
  switch (first.kind) {
    case 'ordered':
      return `${number(first.locations)} locations in order, ${number(first.children)} children`;
    case 'wave':
      return `opens: ${namesOf(first.locations.map(({ id }) => id))}`;
    case 'enrolled': {
      const children = what.reduce((sum, each) => sum + (each.kind === 'enrolled' ? each.children : 0), 0);
      return `enrolled: ${names}, ${number(children)} children`;
    }
    case 'gate':
      return `${first.stage} ends: ${names}`;
    case 'completed':
      return `completed: ${names}`;
    case 'held':
      return `held: ${names}: ${first.reason}`;
    case 'withdrawn':
      return `${first.as}: ${names}: ${first.reason}`;
    case 'approved':
      return first.location === null ? 'approved: the next wave' : `approved: ${first.stage} in ${names}`;
    case 'state':
      return first.state;
  }
}

const namesOf = (ids: readonly string[]): string =>
  ids.length <= NAMES + 1 ? ids.join(', ') : `${ids.slice(0, NAMES).join(', ')} and ${number(ids.length - NAMES)} more`;

/** A line for each wave that lies between the lines that are shown; of many waves only the first and last. */
function wavesOf(course: readonly Entry[], lines: readonly Line[]): Line[] {
  const from = lines[FIRST - 1]?.wave ?? 0;
  const to = lines.at(-LAST)?.wave ?? 0;
  const waves = new Map<number, { opened: Entry; last: Entry; locations: number }>();
  for (const entry of course) {
    if (entry.wave < from || entry.wave > to) continue;
    const known = waves.get(entry.wave);
    const locations = entry.what.kind === 'wave' ? entry.what.locations.length : 0;
    if (known === undefined) waves.set(entry.wave, { opened: entry, last: entry, locations });
    else waves.set(entry.wave, { ...known, last: entry, locations: known.locations + locations });
  }
  const all = [...waves].map(([wave, { opened, last, locations }]): Line => {
    const took = durationText(Math.round((last.atMs - opened.atMs) / 1000) * 1000);
    return {
      atMs: opened.atMs,
      wave,
      text: `… wave ${number(wave)}: ${number(locations)} location${locations === 1 ? '' : 's'}, ${took} long`,
      children: last.children,
    };
  });
  if (all.length <= MOST_WAVES) return all;
  const [head, tail] = [all.slice(0, MOST_WAVES / 2), all.slice(-MOST_WAVES / 2)];
  const middle = all[all.length - MOST_WAVES / 2 - 1];
  if (middle === undefined) return all;
  const text = `… waves ${number((head.at(-1)?.wave ?? 0) + 1)} to ${number(middle.wave)} in the same way`;
  return [...head, { ...middle, text }, ...tail];
}

export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

const number = (n: number): string => n.toLocaleString('en-US');
const percent = (share: number): string => `${Number((share * 100).toPrecision(6))}%`;
