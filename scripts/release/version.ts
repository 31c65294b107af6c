/** Versions, and what has to hold before one is released. Nothing here reads or writes a file. */
import { isDeepStrictEqual } from 'node:util';

/** Why there is no release, in one sentence. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

export const USAGE = 'Say which version: npm run release -- <major|minor|patch|x.y.z> [--dry-run].';

const BRANCH = 'main';
const STEPS = ['major', 'minor', 'patch'];
/** At most nine digits each: a number of them is exact. */
const NUMBER = String.raw`(0|[1-9]\d{0,8})`;
const VERSION = new RegExp(String.raw`^${NUMBER}\.${NUMBER}\.${NUMBER}$`);

export type Version = readonly [major: number, minor: number, patch: number];

/** Null for what isn't three numbers: there are no pre-releases. */
export function parseVersion(text: string): Version | null {
  const found = VERSION.exec(text);
  return found === null ? null : [Number(found[1]), Number(found[2]), Number(found[3])];
}

/** Below zero where the first is lower, above zero where it is greater. */
export const compareVersions = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/** The version to release: a step from the present one, or the one that was named. */
export function nextVersion(present: string, asked: string): string {
  const from = parseVersion(present);
  if (from === null) throw new Refusal(`The present version in package.json is ${present}, which is not x.y.z.`);
  const [major, minor, patch] = from;
  if (asked === 'major') return `${major + 1}.0.0`;
  if (asked === 'minor') return `${major}.${minor + 1}.0`;
  if (asked === 'patch') return `${major}.${minor}.${patch + 1}`;
  const to = parseVersion(asked);
  if (to === null) throw new Refusal(`The version must be ${STEPS.join(', ')} or x.y.z, and not ${asked}.`);
  if (compareVersions(to, from) <= 0)
    throw new Refusal(`The version ${asked} must be greater than the present one, which is ${present}.`);
  return asked;
}

export type Asked = { version: string; dryRun: boolean };

/** What was typed after `npm run release --`. */
export function parseArguments(args: readonly string[]): Asked {
  const options = args.filter((arg) => arg.startsWith('-'));
  const [version, ...more] = args.filter((arg) => !arg.startsWith('-'));
  const unknown = options.find((option) => option !== '--dry-run');
  if (unknown !== undefined) throw new Refusal(`The option ${unknown} is unknown, and only --dry-run exists.`);
  if (version === undefined || more.length > 0) throw new Refusal(USAGE);
  return { version, dryRun: options.length > 0 };
}

/** `branch` is empty where none is checked out; `changes` are the lines of `git status --porcelain`. */
export function checkWorkTree({ branch, changes }: { branch: string; changes: string }): void {
  if (changes.trim() !== '')
    throw new Refusal('The work tree is not clean, so commit, stash or remove what "git status" shows.');
  if (branch !== BRANCH)
    throw new Refusal(`Releases are made on the branch ${BRANCH}, and this is ${branch || 'a detached HEAD'}.`);
}

export const tagOf = (version: string): string => `v${version}`;

export function checkTag(version: string, tags: readonly string[]): void {
  if (tags.includes(tagOf(version))) throw new Refusal(`The tag ${tagOf(version)} exists already.`);
}

type Versioned = { version?: unknown; packages?: Record<string, { version?: unknown }> };

function parseJson(text: string, file: string): Versioned {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(`The file ${file} is not JSON.`);
  }
  if (typeof value !== 'object' || value === null) throw new Refusal(`The file ${file} holds no object.`);
  return value;
}

export function versionOf(packageText: string): string {
  const { version } = parseJson(packageText, 'package.json');
  if (typeof version !== 'string') throw new Refusal('The file package.json has no version.');
  return version;
}

/** package.json with another version; all else stays as it was written. */
export function withVersion(packageText: string, version: string): string {
  const text = packageText.replace(/^( {2}"version": *)"[^"]*"/m, `$1"${version}"`);
  const expected = { ...parseJson(packageText, 'package.json'), version };
  if (!isDeepStrictEqual(parseJson(text, 'package.json'), expected))
    throw new Refusal('The version in package.json must stand on a line of its own, indented by two spaces.');
  return text;
}

/** package-lock.json, in npm's own form, with another version in both places that name the package itself. */
export function withLockVersion(lockText: string, version: string): string {
  const lock = parseJson(lockText, 'package-lock.json');
  const own = lock.packages?.[''];
  if (lock.version === undefined || own?.version === undefined)
    throw new Refusal('The file package-lock.json lacks a version of the package itself, so run "npm install" first.');
  lock.version = version;
  own.version = version;
  return `${JSON.stringify(lock, null, 2)}\n`;
}
