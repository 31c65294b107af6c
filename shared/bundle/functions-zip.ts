/** fns.zip: what a release's functions come in. Checked on publishing, so that no agent chokes on it. */
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import JSZip from 'jszip';
import type { Finding, Findings, Strategy } from '#domain/strategy/strategy.ts';
import { centralDirectory, type ZipEntry } from './central-directory.ts';

/** The path of findings that are about the zip itself; all others lie in release.yml. */
export const ZIP = 'fns.zip';
/** Resource forks that macOS adds to every zip; agents skip them. */
const IGNORED = '__MACOSX/';
const MAX_ENTRIES = 20_000;
/** Unpacked, at most this many times the limit of the packed file: an edge device's disk is small. */
const UNPACKED_FACTOR = 16;
/** The oldest date that a zip can hold: the same files give the same bytes whenever they are packed. */
const NO_DATE = new Date(Date.UTC(1980, 0, 1));
/** What the reference agent looks for before it deploys a Node function; without it, it sends no result at all. */
const NODE_ENTRY = /(?:module\.)?exports(?:\.\w+)?\s*=\s*(?:async\s*)?\(\s*req\s*,\s*res\s*\)\s*=>\s*\{/;

type Entry = JSZip.JSZipObject & { _data?: { crc32?: number } };
export type CheckedZip = Findings & { served: Buffer };

/** `served` are the bytes for children: as published, or with directory entries added where agents would miss them. */
export async function checkFunctionsZip(
  bytes: Buffer,
  functions: Strategy['functions'],
  limit: number,
): Promise<CheckedZip> {
  const refused = (...messages: string[]): CheckedZip => ({
    faults: messages.map((message) => ({ path: ZIP, message })),
    warnings: [],
    served: bytes,
  });
  if (bytes.length === 0) return refused('is empty');
  if (bytes.length > limit) return refused(`has ${bytes.length} bytes, more than the limit of ${limit}`);
  let zip: JSZip;
  try {
    zip = await JSZip.loadAsync(bytes, { createFolders: false });
  } catch (error) {
    return refused(`can't be read: ${(error as Error).message.split('\n')[0]}`);
  }
  const listed = centralDirectory(bytes);
  if (listed === null) return refused("can't be read: its list of entries is damaged");
  if (listed.length > MAX_ENTRIES) return refused(`has more than ${MAX_ENTRIES} entries`);
  const entries: Entry[] = Object.values(zip.files);
  const names = refused(...listed.flatMap(entryFaults), ...nameClashes(listed)).faults;
  // With two entries of one name it isn't known which of them was read.
  if (names.length > 0)
    return { faults: [...names, ...missingFolders(listed, functions)], warnings: [], served: bytes };
  const faults = [...missingFolders(listed, functions), ...(await unreadable(entries, limit * UNPACKED_FACTOR))];
  const warnings = await undeployable(zip, functions);
  if (faults.length > 0) return { faults, warnings, served: bytes };
  return { faults, warnings, served: hasDirectoriesFirst(listed) ? bytes : await withDirectories(entries, listed) };
}

function entryFaults({ name, mode }: ZipEntry): string[] {
  const parts = name.replace(/\/$/, '').split('/');
  const shown = JSON.stringify(name);
  const faults: string[] = [];
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(name)) faults.push(`holds ${shown}, a name with control characters`);
  const escapes =
    name.startsWith('/') || name.includes('\\') || parts.includes('..') || parts.includes('.') || parts.includes('');
  if (escapes || (parts[0] !== 'fns' && !name.startsWith(IGNORED)))
    faults.push(`holds ${shown}, which lies outside of fns/`);
  // A link could lead out of fns/ once it is unpacked.
  const kind = mode & 0o170000;
  if (kind !== 0 && kind !== 0o100000 && kind !== 0o040000)
    faults.push(`holds ${shown}, which is neither a file nor a folder`);
  return faults;
}

/** A name that stands there twice, or is a file and a folder, can't be unpacked. */
function nameClashes(listed: readonly ZipEntry[]): string[] {
  const seen = new Set<string>();
  const files = new Set(listed.flatMap(({ name }) => (name.endsWith('/') ? [] : [name])));
  return listed.flatMap(({ name }) => {
    const twice = seen.has(name);
    seen.add(name);
    const through = parentsOf(name).find((folder) => files.has(folder.slice(0, -1)));
    return [
      ...(twice ? [`holds ${JSON.stringify(name)} twice`] : []),
      ...(through === undefined
        ? []
        : [`holds ${JSON.stringify(name)}, but ${JSON.stringify(through.slice(0, -1))} is a file`]),
    ];
  });
}

function missingFolders(listed: readonly ZipEntry[], functions: Strategy['functions']): Finding[] {
  return versionsOf(functions).flatMap(({ path, folder }) => {
    const found = listed.some(({ name }) => !name.endsWith('/') && name.startsWith(folder));
    return found ? [] : [{ path: `${path}.path`, message: `fns.zip holds no file in "${folder}"` }];
  });
}

const versionsOf = (functions: Strategy['functions']) =>
  functions.flatMap((each, i) =>
    (['base_version', 'new_version'] as const).map((version) => ({
      path: `functions[${i}].${version}`,
      folder: `${each[version].path.replace(/\/$/, '')}/`,
      env: each[version].env,
    })),
  );

/** Node functions that a reference agent wouldn't deploy. */
async function undeployable(zip: JSZip, functions: Strategy['functions']): Promise<Finding[]> {
  const warnings: Finding[] = [];
  for (const { path, folder, env } of versionsOf(functions)) {
    if (env !== 'nodejs') continue;
    const source = await zip
      .file(`${folder}index.js`)
      ?.async('string')
      .catch(() => '');
    if (source === undefined || !NODE_ENTRY.test(source))
      warnings.push({
        path: `${path}.path`,
        message: `"${folder}index.js" ${source === undefined ? 'is missing' : 'has no exports = (req, res) => {'}: reference agents won't deploy it, and send no result`,
      });
  }
  return warnings;
}

/** Unpacks every entry, counting: what a header says of a size isn't to be trusted. */
async function unreadable(entries: readonly Entry[], limit: number): Promise<Finding[]> {
  const fault = (message: string): Finding[] => [{ path: ZIP, message }];
  let unpacked = 0;
  for (const entry of entries) {
    if (entry.dir) continue;
    let sum = 0;
    try {
      // jszip's streams are older than async iteration.
      for await (const chunk of new Readable().wrap(entry.nodeStream('nodebuffer')) as AsyncIterable<Buffer>) {
        unpacked += chunk.length;
        if (unpacked > limit) return fault(`unpacks to more than the limit of ${limit} bytes`);
        sum = crc32(chunk, sum);
      }
    } catch (error) {
      return fault(`"${entry.name}" can't be unpacked: ${(error as Error).message}`);
    }
    const stated = entry._data?.crc32;
    if (stated !== undefined && stated >>> 0 !== sum) return fault(`"${entry.name}" is damaged: its checksum is wrong`);
  }
  return [];
}

function parentsOf(name: string): string[] {
  const parts = name.split('/').slice(0, name.endsWith('/') ? -2 : -1);
  return parts.map((_, i) => `${parts.slice(0, i + 1).join('/')}/`);
}

function hasDirectoriesFirst(listed: readonly ZipEntry[]): boolean {
  const seen = new Set<string>();
  for (const { name } of listed) {
    if (name.startsWith(IGNORED)) continue;
    if (!parentsOf(name).every((folder) => seen.has(folder))) return false;
    if (name.endsWith('/')) seen.add(name);
  }
  return true;
}

/** The same entries, compressed or not and with the modes that they had, behind the directories that they lie in. */
async function withDirectories(entries: readonly Entry[], listed: readonly ZipEntry[]): Promise<Buffer> {
  const zip = new JSZip();
  const stored = new Set(listed.flatMap(({ name, stored: plain }) => (plain ? [name] : [])));
  // jszip reads no modes of zips that were made on macOS.
  const modes = new Map(listed.map(({ name, mode }) => [name, mode]));
  const folders = new Set(entries.flatMap((entry) => [...parentsOf(entry.name), ...(entry.dir ? [entry.name] : [])]));
  for (const folder of [...folders].sort()) addFolder(zip, folder, modes.get(folder));
  for (const entry of entries) {
    if (entry.dir) continue;
    if (stored.has(entry.name)) entry.options.compression = 'STORE';
    entry.unixPermissions = modes.get(entry.name) || null;
    zip.files[entry.name] = entry;
  }
  return generate(zip);
}

/** A file of a release's folder. */
export type PackedFile = Buffer | { content: Buffer; executable: boolean };

/** Of a file that may be run; others get jszip's usual 664. Nothing else of a mode is kept, so that the same files give the
 * same bytes whatever the umask of who checked them out. */
const EXECUTABLE = 0o100775;

/**
 * Packs files (path below the release's folder → content) as agents want them: directory entries first. `folders`: those
 * to be there even if they are empty, each with a slash at its end.
 */
export async function packFunctions(
  files: ReadonlyMap<string, PackedFile>,
  folders: readonly string[] = [],
): Promise<Buffer> {
  const zip = new JSZip();
  const names = [...files.keys()].sort();
  const all = new Set([...names, ...folders].flatMap(parentsOf).concat(folders));
  for (const folder of [...all].sort()) addFolder(zip, folder);
  for (const name of names) {
    const file = files.get(name) ?? '';
    const { content, executable } =
      typeof file === 'object' && 'executable' in file ? file : { content: file, executable: false };
    zip.file(name, content, {
      createFolders: false,
      date: NO_DATE,
      ...(executable && { unixPermissions: EXECUTABLE }),
    });
  }
  return generate(zip);
}

const addFolder = (zip: JSZip, folder: string, mode = 0): unknown =>
  zip.file(folder, null, { dir: true, createFolders: false, date: NO_DATE, unixPermissions: mode || null });

const generate = (zip: JSZip): Promise<Buffer> =>
  zip.generateAsync({ type: 'nodebuffer', compression: 'DEFLATE', platform: 'UNIX' });
