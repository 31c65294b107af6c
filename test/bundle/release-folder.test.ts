/** A release's folder, packed for agents. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import JSZip from 'jszip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkFunctionsZip } from '#bundle/functions-zip.ts';
import { readReleaseFolder } from '#bundle/release-folder.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'choir-folder-'));
  mkdirSync(join(dir, 'fns/sieve/empty'), { recursive: true });
  writeFileSync(join(dir, 'release.yml'), 'id: 1\n');
  writeFileSync(join(dir, 'fns/sieve/plain.js'), '1', { mode: 0o600 });
  writeFileSync(join(dir, 'fns/sieve/handler'), '#!/bin/sh\n');
  writeFileSync(join(dir, 'fns/.DS_Store'), 'x');
  chmodSync(join(dir, 'fns/sieve/handler'), 0o700);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const modesOf = async (zip: Buffer) => {
  const { files } = await JSZip.loadAsync(zip, { createFolders: false });
  return Object.fromEntries(
    Object.values(files).map(({ name, unixPermissions }) => [name, Number(unixPermissions).toString(8)]),
  );
};

const MODES = {
  'fns/': '40775',
  'fns/sieve/': '40775',
  'fns/sieve/empty/': '40775',
  'fns/sieve/handler': '100775',
  'fns/sieve/plain.js': '100664',
};

describe('fns/', () => {
  it('is packed with what may be run, and with empty folders', async () => {
    expect(await modesOf((await readReleaseFolder(dir)).zip)).toEqual(MODES);
  });

  it('gives the same bytes whatever else its modes are', async () => {
    const { zip } = await readReleaseFolder(dir);
    chmodSync(join(dir, 'fns/sieve/plain.js'), 0o644);
    chmodSync(join(dir, 'fns/sieve/handler'), 0o755);
    expect((await readReleaseFolder(dir)).zip).toEqual(zip);
  });

  it('is refused for links, all of them by name', async () => {
    symlinkSync('plain.js', join(dir, 'fns/sieve/link.js'));
    symlinkSync('/etc', join(dir, 'fns/etc'));
    await expect(readReleaseFolder(dir)).rejects.toThrow(
      'fns/etc is a symbolic link, fns/sieve/link.js is a symbolic link: a release holds files and folders only',
    );
  });
});

describe('a zip whose directory entries are added', () => {
  it.each([3, 19])('keeps the modes of its files, made by system %d', async (madeBy) => {
    const { zip: packed } = await readReleaseFolder(dir);
    const source = await JSZip.loadAsync(packed, { createFolders: false });
    const without = new JSZip();
    for (const entry of Object.values(source.files)) if (!entry.dir) without.files[entry.name] = entry;
    const bytes = await without.generateAsync({ type: 'nodebuffer', platform: 'UNIX' });
    for (let at = bytes.indexOf('PK\u0001\u0002'); at >= 0; at = bytes.indexOf('PK\u0001\u0002', at + 4))
      bytes.writeUInt8(madeBy, at + 5);
    const { served } = await checkFunctionsZip(bytes, [], 1_000_000);
    const { 'fns/sieve/empty/': _, ...rest } = MODES;
    expect(await modesOf(served)).toEqual(rest);
  });
});
