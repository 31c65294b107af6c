/**
 * npm run release -- <major|minor|patch|x.y.z> [--dry-run]: writes the version and the changelog, commits them and
 * makes the tag, all on this machine. It pushes nothing. It refuses in one sentence, and then nothing is changed.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { checkChangelog, releaseChangelog, unreleasedNotes } from './release/changelog.ts';
import {
  checkTag,
  checkWorkTree,
  nextVersion,
  parseArguments,
  Refusal,
  tagOf,
  versionOf,
  withLockVersion,
  withVersion,
} from './release/version.ts';

const PACKAGE = 'package.json';
const LOCK = 'package-lock.json';
const CHANGELOG = 'CHANGELOG.md';

/** The texts of all that a release writes, by file. */
type Texts = Record<typeof PACKAGE | typeof LOCK | typeof CHANGELOG, string>;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function git(...args: string[]): string {
  const { error, status, stdout, stderr } = spawnSync('git', args, { encoding: 'utf8' });
  if (error !== undefined) throw new Refusal(`Git can't be run: ${error.message}.`);
  if (status === 0) return stdout;
  const why = stderr.trim().split('\n')[0] || `it ended with ${status}`;
  throw new Refusal(`"git ${args[0]}" failed: ${why.replace(/\.$/, '')}.`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new Refusal(`The file ${file} can't be read in this folder.`);
  }
}

function writeAll(texts: Texts): void {
  for (const [file, text] of Object.entries(texts)) writeFileSync(file, text);
}

/** The commit holds these files and nothing else. Where it is refused, by a hook say, they are as they were. */
function commit(before: Texts, after: Texts, message: string): void {
  try {
    writeAll(after);
    git('commit', '--quiet', '--message', message, '--', ...Object.keys(after));
  } catch (error) {
    writeAll(before);
    throw error;
  }
}

function tag(name: string, message: string): void {
  try {
    git('tag', '--annotate', name, '--message', message);
  } catch (error) {
    const why = (error as Error).message.replace(/\.$/, '');
    throw new Refusal(`The commit is made, but its tag is not (${why}): type git tag -a ${name} -m "${message}".`);
  }
}

function release(args: readonly string[]): void {
  const asked = parseArguments(args);
  checkWorkTree({ changes: git('status', '--porcelain'), branch: git('branch', '--show-current').trim() });
  const before: Texts = { [PACKAGE]: read(PACKAGE), [LOCK]: read(LOCK), [CHANGELOG]: read(CHANGELOG) };
  const version = nextVersion(versionOf(before[PACKAGE]), asked.version);
  checkChangelog(before[CHANGELOG], version);
  checkTag(version, git('tag', '--list').split('\n'));
  const after: Texts = {
    [PACKAGE]: withVersion(before[PACKAGE], version),
    [LOCK]: withLockVersion(before[LOCK], version),
    [CHANGELOG]: releaseChangelog(before[CHANGELOG], version, new Date().toISOString().slice(0, 10)),
  };
  const name = tagOf(version);
  const message = `Release ${version}`;
  if (asked.dryRun) {
    const notes = unreleasedNotes(before[CHANGELOG]);
    say(`This would commit "${message}" and make the tag ${name}, with these notes:\n\n${notes}\n`);
    say('Nothing was changed.');
    return;
  }
  commit(before, after, message);
  tag(name, message);
  say(`"${message}" is committed and has the tag ${name}. Nothing is pushed.`);
  say(`To push both, type: git push --atomic origin main ${name}`);
}

try {
  release(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
