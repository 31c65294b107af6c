/** A preview as text. Pure: a view in, lines out. */
import type { PreviewView } from '#wire/operator/responses.ts';
import { renderFindings, table } from '../text/tables.ts';

const SHOWN = 24;
const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

export function renderPreview(id: string, view: PreviewView): string {
  const { children, locations, waves, bytes, revert } = view;
  // Of a plan that can't be read nothing is known.
  if (view.plan === null) return renderFindings('fault', view.faults);
  const about = view.looked_at < 1 ? `about (from ${Math.round(view.looked_at * 100)} % of the fleet) ` : '';
  const lines = [
    `${id}  ${view.plan?.name ?? ''}  a start would enrol ${about}${children.enrolled} of ${children.known} children`,
  ];
  const out = [
    children.silent > 0 ? `${children.silent} silent` : '',
    children.untargeted > 0 ? `${children.untargeted} not targeted` : '',
    children.outside > 0 ? `${children.outside} outside every region` : '',
  ].filter((text) => text !== '');
  if (out.length > 0) lines.push(`  left out  ${out.join(', ')}`);
  lines.push(
    `  waves     ${waves.count}, over ${locations.count} locations; at the earliest through after ${time(view.earliest_end_seconds)}`,
    `  bundles   ${size(bytes.each)} each, ${size(bytes.all)} in all`,
  );
  if (locations.first.length > 0) {
    const rows = locations.first
      .slice(0, SHOWN)
      .map((each) => [
        String(each.wave),
        each.id,
        String(each.children),
        time(each.opens_after_seconds),
        time(each.through_after_seconds),
      ]);
    const head = ['WAVE', 'LOCATION', 'CHILDREN', 'OPENS AFTER', 'THROUGH AFTER'];
    lines.push(
      ...table([head, ...rows])
        .split('\n')
        .map((row) => `  ${row}`),
    );
    if (locations.count > SHOWN)
      lines.push(`  and ${locations.count - Math.min(SHOWN, locations.first.length)} more locations`);
  }
  if (revert !== null)
    lines.push(
      `  taking it back now would reach ${revert.done}; ${revert.held} are held in a stage (with --release-held they briefly run the new version), ${revert.unreachable} can't be reached`,
    );
  for (const { release, functions } of view.conflicts)
    lines.push(
      `${view.plan['conflicts'] === 'allow' ? 'beside' : 'conflict'}: release ${release} touches ${functions.join(', ')} too`,
    );
  if (view.faults.length > 0) lines.push(renderFindings('fault', view.faults));
  return lines.join('\n');
}

export function time(seconds: number | null): string {
  if (seconds === null) return '?';
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  const clock = [hours, minutes, whole % 60].map((part) => String(part).padStart(2, '0')).join(':');
  return days > 0 ? `${days} d ${clock}` : clock;
}

function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toPrecision(3)} ${UNITS[unit] ?? ''}`;
}
