/** The changelog at a release: what stands under Unreleased becomes the section of a version. */
import { Refusal } from './version.ts';

const UNRELEASED = /^## Unreleased\s*$/;
const SECTION = /^## /;
/** A heading without a line below it tells nothing. */
const HEADING = /^#/;

type Sections = { lines: string[]; start: number; end: number };

function findUnreleased(changelog: string): Sections {
  const lines = changelog.split('\n');
  const start = lines.findIndex((line) => UNRELEASED.test(line));
  if (start === -1) throw new Refusal('The changelog has no section "## Unreleased".');
  const next = lines.findIndex((line, i) => i > start && SECTION.test(line));
  const end = next === -1 ? lines.length : next;
  if (lines.slice(end).some((line) => UNRELEASED.test(line)))
    throw new Refusal('The changelog has more than one section "## Unreleased".');
  return { lines, start, end };
}

/** What stands under Unreleased, without the empty lines around it. */
export function unreleasedNotes(changelog: string): string {
  const { lines, start, end } = findUnreleased(changelog);
  return lines
    .slice(start + 1, end)
    .join('\n')
    .trim();
}

/** Whether a line is the heading of this version's section, with a date or without one. */
const isSectionOf = (line: string, version: string): boolean =>
  line.trimEnd() === `## ${version}` || line.startsWith(`## ${version} `);

export function checkChangelog(changelog: string, version: string): void {
  const lines = unreleasedNotes(changelog).split('\n');
  if (lines.every((line) => line.trim() === '' || HEADING.test(line)))
    throw new Refusal('The section "Unreleased" of the changelog is empty, so there is nothing to release.');
  if (changelog.split('\n').some((line) => isSectionOf(line, version)))
    throw new Refusal(`The changelog has a section of ${version} already.`);
}

/** The same changelog with its Unreleased section dated, and a new empty one above. `date` is YYYY-MM-DD. */
export function releaseChangelog(changelog: string, version: string, date: string): string {
  const { lines, start } = findUnreleased(changelog);
  return [...lines.slice(0, start), '## Unreleased', '', `## ${version} (${date})`, ...lines.slice(start + 1)].join(
    '\n',
  );
}
