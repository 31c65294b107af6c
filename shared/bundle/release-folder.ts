/** A release as a folder: release.yml with fns.zip, or with fns/ that is packed here. */
import { type Dirent, existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { packFunctions } from './functions-zip.ts';

export async function readReleaseFolder(folder: string): Promise<{ yml: Buffer; zip: Buffer }> {
  const file = ['release.yml', 'release.yaml'].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file === undefined) throw new Error(`${folder} holds no release.yml`);
  const yml = await readFile(file);
  const packed = join(folder, 'fns.zip');
  if (existsSync(packed)) return { yml, zip: await readFile(packed) };
  const functions = join(folder, 'fns');
  if (!existsSync(functions)) throw new Error(`${folder} holds neither fns.zip nor fns/`);
  const entries = await readdir(functions, { recursive: true, withFileTypes: true });
  const files = new Map<string, Buffer>();
  for (const entry of entries)
    if (isWanted(entry)) {
      const path = join(entry.parentPath, entry.name);
      files.set(relative(folder, path).split(sep).join('/'), await readFile(path));
    }
  return { yml, zip: await packFunctions(files) };
}

const isWanted = (entry: Dirent): boolean => entry.isFile() && entry.name !== '.DS_Store';
