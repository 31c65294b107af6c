/** A release as a folder: release.yml with fns.zip, or with fns/ that is packed here. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { packFunctions, type PackedFile } from './functions-zip.ts';

export async function readReleaseFolder(folder: string): Promise<{ yml: Buffer; zip: Buffer }> {
  const file = ['release.yml', 'release.yaml'].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file === undefined) throw new Error(`${folder} holds no release.yml`);
  const yml = await readFile(file);
  const packed = join(folder, 'fns.zip');
  if (existsSync(packed)) return { yml, zip: await readFile(packed) };
  if (!existsSync(join(folder, 'fns'))) throw new Error(`${folder} holds neither fns.zip nor fns/`);
  return { yml, zip: await packFolder(folder) };
}

const IGNORED = '.DS_Store';
const ANY_EXECUTE = 0o111;

/** Refuses what an agent couldn't unpack, all of it at once: to leave a link out silently would break its function. */
async function packFolder(folder: string): Promise<Buffer> {
  const files = new Map<string, PackedFile>();
  const folders: string[] = [];
  const others: string[] = [];
  // Not `recursive`: that goes through links to folders, whatever they lead to.
  async function addFolder(below: string): Promise<void> {
    folders.push(`${below}/`);
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      const name = `${below}/${entry.name}`;
      if (entry.isDirectory()) await addFolder(name);
      else if (!entry.isFile()) others.push(`${name} is ${entry.isSymbolicLink() ? 'a symbolic link' : 'no file'}`);
      else if (entry.name !== IGNORED) {
        const { mode } = await stat(join(folder, name));
        files.set(name, { content: await readFile(join(folder, name)), executable: (mode & ANY_EXECUTE) !== 0 });
      }
    }
  }
  await addFolder('fns');
  if (others.length > 0)
    throw new Error(`${others.sort().join(', ')}: a release holds files and folders only, put a copy there instead`);
  return packFunctions(files, folders);
}
