/** Releases: the rules in tables, and the whole script in a git repository of its own. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkChangelog, releaseChangelog, unreleasedNotes } from '../../scripts/release/changelog.ts';
import {
  checkTag,
  checkWorkTree,
  compareVersions,
  nextVersion,
  parseArguments,
  parseVersion,
  Refusal,
  USAGE,
  versionOf,
  withLockVersion,
  withVersion,
} from '../../scripts/release/version.ts';

const SCRIPT = resolve('scripts/release.ts');
/** One sentence, on one line. */
const SENTENCE = /^[A-Z"][^\n]*\.$/;

const PACKAGE = `{
  "name": "a-manager",
  "version": "0.1.0",
  "files": ["bin", "docs"],
  "config": {
    "version": "0.1.0"
  }
}
`;
const LOCK = `${JSON.stringify(
  {
    name: 'a-manager',
    version: '0.1.0',
    lockfileVersion: 3,
    packages: {
      '': { name: 'a-manager', version: '0.1.0' },
      'node_modules/other': { version: '0.1.0' },
    },
  },
  null,
  2,
)}\n`;
const OLD_SECTION = '## 0.1.0 (2026-01-02)\n\n### Added\n\n- The first thing.\n';
const changelogWith = (notes: string): string => `# Changelog\n\n## Unreleased\n${notes}\n${OLD_SECTION}`;
const CHANGELOG = changelogWith('\n### Fixed\n\n- A wrong number.\n');
const EMPTY = changelogWith('');

describe('versions', () => {
  it.each([
    ['0.1.0', [0, 1, 0]],
    ['10.20.30', [10, 20, 30]],
    ['0.1', null],
    ['0.1.0.0', null],
    ['v0.1.0', null],
    ['01.1.0', null],
    ['0.1.0-rc.1', null],
    ['0.1.0\n', null],
    ['0.1.1234567890', null],
    ['', null],
  ])('%j is read as %j', (text, version) => {
    expect(parseVersion(text)).toEqual(version);
  });

  it.each([
    ['0.9.0', '0.10.0'],
    ['0.1.9', '0.1.10'],
    ['0.99.99', '1.0.0'],
    ['1.0.0', '1.0.1'],
  ])('%s is lower than %s', (low, high) => {
    const [a, b] = [parseVersion(low)!, parseVersion(high)!];
    expect(compareVersions(a, b)).toBeLessThan(0);
    expect(compareVersions(b, a)).toBeGreaterThan(0);
    expect(compareVersions(a, a)).toBe(0);
  });

  it.each([
    ['0.1.0', 'patch', '0.1.1'],
    ['0.1.9', 'patch', '0.1.10'],
    ['0.1.9', 'minor', '0.2.0'],
    ['0.1.9', 'major', '1.0.0'],
    ['1.2.3', 'major', '2.0.0'],
    ['1.2.3', '1.2.4', '1.2.4'],
    ['1.2.3', '1.10.0', '1.10.0'],
  ])('from %s, %s leads to %s', (present, asked, next) => {
    expect(nextVersion(present, asked)).toBe(next);
  });

  it.each([
    ['0.1.0', '0.1.0', 'The version 0.1.0 must be greater than the present one, which is 0.1.0.'],
    ['0.10.0', '0.9.0', 'The version 0.9.0 must be greater than the present one, which is 0.10.0.'],
    ['0.1.0', 'v0.2.0', 'The version must be major, minor, patch or x.y.z, and not v0.2.0.'],
    ['0.1.0', 'big', 'The version must be major, minor, patch or x.y.z, and not big.'],
    ['next', 'patch', 'The present version in package.json is next, which is not x.y.z.'],
  ])('from %s, %s is refused', (present, asked, why) => {
    expect(() => nextVersion(present, asked)).toThrow(new Refusal(why));
  });
});

describe('what was typed', () => {
  it.each([
    [['minor'], { version: 'minor', dryRun: false }],
    [['1.2.3', '--dry-run'], { version: '1.2.3', dryRun: true }],
    [['--dry-run', 'patch'], { version: 'patch', dryRun: true }],
  ])('%j is understood', (args, asked) => {
    expect(parseArguments(args)).toEqual(asked);
  });

  it.each([
    [[], USAGE],
    [['--dry-run'], USAGE],
    [['minor', 'patch'], USAGE],
    [['minor', '--force'], 'The option --force is unknown, and only --dry-run exists.'],
    [['minor', '-n'], 'The option -n is unknown, and only --dry-run exists.'],
  ])('%j is refused', (args, why) => {
    expect(() => parseArguments(args)).toThrow(new Refusal(why));
  });
});

describe('the repository', () => {
  it('may be released from a clean main without the tag', () => {
    expect(() => checkWorkTree({ branch: 'main', changes: '' })).not.toThrow();
    expect(() => checkTag('0.2.0', ['v0.1.0', 'v0.2.0-old', '0.2.0', ''])).not.toThrow();
  });

  it.each([
    [{ branch: 'main', changes: ' M README.md\n' }, /^The work tree is not clean/],
    [{ branch: 'main', changes: '?? new.ts\n' }, /^The work tree is not clean/],
    [{ branch: 'side', changes: '' }, /on the branch main, and this is side\.$/],
    [{ branch: 'maintenance', changes: '' }, /on the branch main, and this is maintenance\.$/],
    [{ branch: '', changes: '' }, /on the branch main, and this is a detached HEAD\.$/],
  ])('%j is refused', (state, why) => {
    expect(() => checkWorkTree(state)).toThrow(why);
  });

  it('is refused where the tag exists', () => {
    expect(() => checkTag('0.2.0', ['v0.1.0', 'v0.2.0'])).toThrow(new Refusal('The tag v0.2.0 exists already.'));
  });
});

describe('the files that name the version', () => {
  it('change in their versions and nowhere else', () => {
    expect(versionOf(PACKAGE)).toBe('0.1.0');
    expect(withVersion(PACKAGE, '0.2.0')).toBe(PACKAGE.replace('"version": "0.1.0",', '"version": "0.2.0",'));
    const lock = JSON.parse(withLockVersion(LOCK, '0.2.0')) as { version: string; packages: object };
    expect(lock.version).toBe('0.2.0');
    expect(lock.packages).toEqual({
      '': { name: 'a-manager', version: '0.2.0' },
      'node_modules/other': { version: '0.1.0' },
    });
    expect(withLockVersion(LOCK, '0.1.0')).toBe(LOCK);
  });

  it('of this repository can be written', () => {
    const own = readFileSync('package.json', 'utf8');
    const lock = readFileSync('package-lock.json', 'utf8');
    expect(versionOf(withVersion(own, '999.0.0'))).toBe('999.0.0');
    expect(withVersion(own, versionOf(own))).toBe(own);
    expect(withLockVersion(lock, versionOf(own))).toBe(lock);
  });

  it.each([
    ['{"version":"0.1.0"}', /^The version in package\.json must stand on a line of its own/],
    ['{\n  "name": "x"\n}\n', /^The version in package\.json must stand on a line of its own/],
    ['{', /^The file package\.json is not JSON\.$/],
    ['null', /^The file package\.json holds no object\.$/],
  ])('as a package.json %j are refused', (text, why) => {
    expect(() => withVersion(text, '0.2.0')).toThrow(why);
  });

  it('are refused without a version', () => {
    expect(() => versionOf('{}')).toThrow(new Refusal('The file package.json has no version.'));
  });

  it.each(['{"version":"0.1.0"}', '{"version":"0.1.0","packages":{}}', '{"packages":{"":{"version":"0.1.0"}}}'])(
    'as a package-lock.json %j are refused',
    (text) => {
      expect(() => withLockVersion(text, '0.2.0')).toThrow(/^The file package-lock\.json lacks a version/);
    },
  );
});

describe('the changelog', () => {
  it('gets a dated section, and an empty Unreleased above it', () => {
    const released = releaseChangelog(CHANGELOG, '0.2.0', '2026-03-04');
    expect(released).toBe(
      `# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-03-04)\n\n### Fixed\n\n- A wrong number.\n\n${OLD_SECTION}`,
    );
    expect(unreleasedNotes(released)).toBe('');
    expect(() => checkChangelog(released, '0.3.0')).toThrow(/is empty/);
  });

  it('may end with Unreleased', () => {
    const only = '# Changelog\n\n## Unreleased\n\n- A thing.\n';
    expect(() => checkChangelog(only, '0.1.0')).not.toThrow();
    expect(releaseChangelog(only, '0.1.0', '2026-03-04')).toBe(
      '# Changelog\n\n## Unreleased\n\n## 0.1.0 (2026-03-04)\n\n- A thing.\n',
    );
  });

  it('tells what is unreleased', () => {
    expect(unreleasedNotes(CHANGELOG)).toBe('### Fixed\n\n- A wrong number.');
    expect(() => checkChangelog(CHANGELOG, '0.2.0')).not.toThrow();
  });

  it.each([
    ['without notes', EMPTY, /^The section "Unreleased" of the changelog is empty/],
    ['with headings only', changelogWith('\n### Added\n\n### Fixed\n'), /^The section "Unreleased" .* is empty/],
    ['with spaces only', changelogWith('   \n\t\n'), /^The section "Unreleased" .* is empty/],
    ['without an Unreleased', `# Changelog\n\n${OLD_SECTION}`, /has no section "## Unreleased"\.$/],
    ['with two of them', `${CHANGELOG}\n## Unreleased\n\n- More.\n`, /more than one section "## Unreleased"\.$/],
    ['that has the version', `${CHANGELOG}\n## 0.2.0 (2026-01-01)\n`, /has a section of 0\.2\.0 already\.$/],
    ['that has it undated', `${CHANGELOG}\n## 0.2.0\n`, /has a section of 0\.2\.0 already\.$/],
  ])('%s is refused', (_, changelog, why) => {
    expect(() => checkChangelog(changelog, '0.2.0')).toThrow(why);
  });

  it('is not mistaken in a version that another one starts with', () => {
    expect(() => checkChangelog(`${CHANGELOG}\n## 0.2.01\n\n## 10.2.0\n`, '0.2.0')).not.toThrow();
  });

  it('of this repository has one Unreleased section, and the present version', () => {
    const own = readFileSync('CHANGELOG.md', 'utf8');
    const present = versionOf(readFileSync('package.json', 'utf8'));
    expect(() => unreleasedNotes(own)).not.toThrow();
    expect(own.split('\n').filter((line) => line.startsWith('## '))).toEqual(
      expect.arrayContaining([
        expect.stringMatching(new RegExp(`^## ${RegExp.escape(present)} \\(\\d{4}-\\d\\d-\\d\\d\\)$`)),
      ]),
    );
  });
});

describe('npm run release', () => {
  let dir: string;

  // A git hook's variables, or somebody's own settings, would lead git elsewhere.
  beforeAll(() => {
    for (const name of ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_OBJECT_DIRECTORY', 'GIT_COMMON_DIR'])
      vi.stubEnv(name, undefined);
    vi.stubEnv('GIT_CONFIG_GLOBAL', '/dev/null');
    vi.stubEnv('GIT_CONFIG_NOSYSTEM', '1');
  });
  afterAll(() => vi.unstubAllEnvs());

  const git = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync('git', args, { cwd: dir, encoding: 'utf8' });
    expect(stderr, `git ${args.join(' ')}`).toBe('');
    expect(status).toBe(0);
    return stdout.trim();
  };
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], { cwd: dir, encoding: 'utf8' });
    return { status, stdout, stderr: stderr.trimEnd() };
  };
  const text = (file: string): string => readFileSync(join(dir, file), 'utf8');
  const write = (file: string, content: string): void => writeFileSync(join(dir, file), content);
  const commitAll = (): void => void (git('add', '--all'), git('commit', '--quiet', '--message', 'A state'));
  /** All that a release could change. */
  const state = (): Record<string, string> => ({
    commits: git('log', '--all', '--format=%H %s'),
    refs: git('for-each-ref'),
    changes: git('status', '--porcelain'),
    package: text('package.json'),
    lock: text('package-lock.json'),
    changelog: text('CHANGELOG.md'),
  });

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'choir-release-'));
    git('init', '--quiet', '--initial-branch=main');
    git('config', 'user.name', 'A Maintainer');
    git('config', 'user.email', 'maintainer@example.org');
    write('package.json', PACKAGE);
    write('package-lock.json', LOCK);
    write('CHANGELOG.md', CHANGELOG);
    commitAll();
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('commits the version and the dated changelog, makes an annotated tag, and tells how to push', () => {
    const days = [new Date().toISOString().slice(0, 10)];
    const { status, stdout, stderr } = run('minor');
    days.push(new Date().toISOString().slice(0, 10));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('Nothing is pushed.');
    expect(stdout).toContain('type: git push --atomic origin main v0.2.0\n');

    expect(git('log', '-1', '--format=%s')).toBe('Release 0.2.0');
    expect(git('rev-list', '--count', 'HEAD')).toBe('2');
    expect(git('diff', '--name-only', 'HEAD~1', 'HEAD').split('\n')).toEqual([
      'CHANGELOG.md',
      'package-lock.json',
      'package.json',
    ]);
    expect(git('cat-file', '-t', 'v0.2.0')).toBe('tag');
    expect(git('tag', '--list', '--format=%(contents:subject)')).toBe('Release 0.2.0');
    expect(git('rev-parse', 'v0.2.0^{commit}')).toBe(git('rev-parse', 'HEAD'));
    expect(git('status', '--porcelain')).toBe('');

    expect(text('package.json')).toBe(withVersion(PACKAGE, '0.2.0'));
    expect(text('package-lock.json')).toBe(withLockVersion(LOCK, '0.2.0'));
    expect(days.map((day) => releaseChangelog(CHANGELOG, '0.2.0', day))).toContain(text('CHANGELOG.md'));
  });

  it('pushes nothing, though there is a place to push to', () => {
    const remote = join(dir, '.git', 'elsewhere.git');
    git('init', '--quiet', '--bare', '--initial-branch=main', remote);
    git('remote', 'add', 'origin', remote);
    git('push', '--quiet', '--set-upstream', 'origin', 'main');
    const there = git('ls-remote', 'origin');
    expect(run('1.0.0').status).toBe(0);
    expect(git('tag', '--list')).toBe('v1.0.0');
    expect(git('ls-remote', 'origin')).toBe(there);
  });

  it('is followed by another one only once there are notes again', () => {
    expect(run('patch').status).toBe(0);
    expect(run('patch')).toMatchObject({ status: 1, stderr: expect.stringContaining('is empty') });
    write('CHANGELOG.md', text('CHANGELOG.md').replace('## Unreleased\n', '## Unreleased\n\n- More.\n'));
    commitAll();
    expect(run('patch').status).toBe(0);
    expect(git('tag', '--list').split('\n')).toEqual(['v0.1.1', 'v0.1.2']);
    expect(text('CHANGELOG.md').match(/^## .*(?= \()|^## Unreleased/gm)).toEqual([
      '## Unreleased',
      '## 0.1.2',
      '## 0.1.1',
      '## 0.1.0',
    ]);
  });

  it('changes nothing with --dry-run', () => {
    const before = state();
    const { status, stdout, stderr } = run('minor', '--dry-run');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('"Release 0.2.0"');
    expect(stdout).toContain('v0.2.0');
    expect(stdout).toContain('- A wrong number.');
    expect(stdout).toContain('Nothing was changed.');
    expect(stdout).not.toContain('The first thing');
    expect(state()).toEqual(before);
  });

  it.each<[why: string, args: string[], prepare: () => void, sentence: RegExp]>([
    ['without a version', [], () => {}, /^Say which version/],
    ['for an option that is unknown', ['minor', '--yes'], () => {}, /option --yes is unknown/],
    ['for what is no version', ['v0.2.0'], () => {}, /major, minor, patch or x\.y\.z, and not v0\.2\.0/],
    ['for the present version', ['0.1.0'], () => {}, /0\.1\.0 must be greater than the present one/],
    ['for a lower version', ['0.0.9'], () => {}, /0\.0\.9 must be greater than the present one/],
    ['with a changed file', ['minor'], () => write('CHANGELOG.md', `${CHANGELOG}\n`), /work tree is not clean/],
    ['with a file that is new', ['minor'], () => write('new.txt', ''), /work tree is not clean/],
    ['on another branch', ['minor'], () => git('checkout', '--quiet', '-b', 'side'), /branch main, and this is side/],
    ['on no branch', ['minor'], () => git('checkout', '--quiet', '--detach'), /and this is a detached HEAD/],
    ['without notes', ['minor'], () => (write('CHANGELOG.md', EMPTY), commitAll()), /"Unreleased" .* is empty/],
    ['where the tag exists', ['minor'], () => git('tag', 'v0.2.0'), /^The tag v0\.2\.0 exists already/],
    [
      'with a damaged lock',
      ['minor'],
      () => (write('package-lock.json', '{}'), commitAll()),
      /package-lock\.json lacks/,
    ],
  ])('is refused %s', (_, args, prepare, sentence) => {
    prepare();
    const before = state();
    for (const more of [[], ['--dry-run']]) {
      const { status, stdout, stderr } = run(...args, ...more);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toMatch(sentence);
      expect(stderr).toMatch(SENTENCE);
      expect(state()).toEqual(before);
    }
  });

  it('is refused where a file is missing', () => {
    git('rm', '--quiet', 'CHANGELOG.md');
    git('commit', '--quiet', '--message', 'Without');
    const { status, stderr } = run('minor');
    expect({ status, stderr }).toEqual({ status: 1, stderr: "The file CHANGELOG.md can't be read in this folder." });
    expect(git('status', '--porcelain')).toBe('');
  });

  it('is refused outside of a repository', () => {
    rmSync(join(dir, '.git'), { recursive: true });
    vi.stubEnv('GIT_CEILING_DIRECTORIES', tmpdir());
    const { status, stderr } = run('minor');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^"git status" failed: .*not a git repository/);
    expect(stderr).toMatch(SENTENCE);
    expect(text('package.json')).toBe(PACKAGE);
  });

  it('leaves the files as they were where a hook refuses the commit', () => {
    const hook = join(dir, '.git', 'hooks', 'pre-commit');
    writeFileSync(hook, '#!/bin/sh\necho "Not today." >&2\nexit 1\n');
    chmodSync(hook, 0o755);
    const before = state();
    const { status, stderr } = run('minor');
    expect({ status, stderr }).toEqual({ status: 1, stderr: '"git commit" failed: Not today.' });
    expect(state()).toEqual(before);
  });

  it('tells what is left to do where the commit is made and the tag is not', () => {
    git('config', 'tag.gpgSign', 'true');
    git('config', 'gpg.program', 'false');
    const { status, stdout, stderr } = run('minor');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^The commit is made, .* type git tag -a v0\.2\.0 -m "Release 0\.2\.0"\.$/);
    expect(stderr).toMatch(SENTENCE);
    expect(git('log', '-1', '--format=%s')).toBe('Release 0.2.0');
    expect(git('tag', '--list')).toBe('');
  });
});
