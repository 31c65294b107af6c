/** fns.zip: what a release's functions come in. Checked on publishing, so that no agent chokes on it. */
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import JSZip from 'jszip';
import type { Finding, Strategy } from '#domain/strategy.ts';

/** Resource forks that macOS adds to every zip; agents skip them. */
const IGNORED = '__MACOSX/';
const MAX_ENTRIES = 20_000;
/** Unpacked, at most this many times the limit of the packed file: an edge device's disk is small. */
const UNPACKED_FACTOR = 16;
/** The oldest date that a zip can hold: the same files give the same bytes whenever they are packed. */
const NO_DATE = new Date(Date.UTC(1980, 0, 1));

type Entry = JSZip.JSZipObject & { unsafeOriginalName?: string; _data?: { crc32?: number } };

/** `served` are the bytes for children: as published, or with directory entries added where agents would miss them. */
export async function checkFunctionsZip(
  bytes: Buffer,
  functions: Strategy['functions'],
  limit: number,
): Promise<{ faults: Finding[]; served: Buffer }> {
  const fault = (message: string, path = 'fns.zip'): Finding => ({ path, message });
  if (bytes.length > limit)
    return { faults: [fault(`has ${bytes.length} bytes, more than the limit of ${limit}`)], served: bytes };
  let zip: JSZip;
  try {
    zip = await JSZip.loadAsync(bytes, { createFolders: false });
  } catch (error) {
    return { faults: [fault(`can't be read: ${(error as Error).message.split('\n')[0]}`)], served: bytes };
  }
  const entries = Object.values(zip.files) as Entry[];
  if (entries.length > MAX_ENTRIES) return { faults: [fault(`has more than ${MAX_ENTRIES} entries`)], served: bytes };
  const faults = [
    ...entries.flatMap((entry) => {
      const message = entryFault(entry);
      return message === null ? [] : [fault(message)];
    }),
    ...missingFolders(entries, functions),
    ...(await unreadable(entries, limit * UNPACKED_FACTOR)),
  ];
  if (faults.length > 0) return { faults, served: bytes };
  return { faults, served: hasDirectoriesFirst(entries) ? bytes : await withDirectories(entries) };
}

const nameOf = (entry: Entry): string => entry.unsafeOriginalName ?? entry.name;

function entryFault(entry: Entry): string | null {
  const name = nameOf(entry);
  if (name.startsWith(IGNORED)) return null;
  const parts = name.replace(/\/$/, '').split('/');
  if (name.startsWith('/') || name.includes('\\') || parts.includes('..') || parts.includes('.') || parts[0] !== 'fns')
    return `holds "${name}", which lies outside of fns/`;
  // A link could lead out of fns/ once it is unpacked.
  const kind = Number(entry.unixPermissions ?? 0) & 0o170000;
  if (kind !== 0 && kind !== 0o100000 && kind !== 0o040000)
    return `holds "${name}", which is neither a file nor a folder`;
  return null;
}

function missingFolders(entries: Entry[], functions: Strategy['functions']): Finding[] {
  return functions.flatMap((f, i) =>
    (['base_version', 'new_version'] as const).flatMap((version) => {
      const folder = `${f[version].path.replace(/\/$/, '')}/`;
      const found = entries.some((entry) => !entry.dir && nameOf(entry).startsWith(folder));
      return found
        ? []
        : [{ path: `functions[${i}].${version}.path`, message: `fns.zip holds no file in "${folder}"` }];
    }),
  );
}

/** Unpacks every entry, counting: what a header says of a size isn't to be trusted. */
async function unreadable(entries: Entry[], limit: number): Promise<Finding[]> {
  let unpacked = 0;
  for (const entry of entries) {
    if (entry.dir) continue;
    let sum = 0;
    try {
      // jszip's streams are older than async iteration.
      for await (const chunk of new Readable().wrap(entry.nodeStream('nodebuffer')) as AsyncIterable<Buffer>) {
        unpacked += chunk.length;
        if (unpacked > limit) return [{ path: 'fns.zip', message: `unpacks to more than the limit of ${limit} bytes` }];
        sum = crc32(chunk, sum);
      }
    } catch (error) {
      return [{ path: 'fns.zip', message: `"${nameOf(entry)}" can't be unpacked: ${(error as Error).message}` }];
    }
    const stated = entry._data?.crc32;
    if (stated !== undefined && stated >>> 0 !== sum)
      return [{ path: 'fns.zip', message: `"${nameOf(entry)}" is damaged: its checksum is wrong` }];
  }
  return [];
}

const parentsOf = (name: string): string[] => {
  const parts = name.split('/').slice(0, name.endsWith('/') ? -2 : -1);
  return parts.map((_, i) => `${parts.slice(0, i + 1).join('/')}/`);
};

function hasDirectoriesFirst(entries: Entry[]): boolean {
  const seen = new Set<string>();
  for (const entry of entries) {
    if (nameOf(entry).startsWith(IGNORED)) continue;
    if (!parentsOf(entry.name).every((folder) => seen.has(folder))) return false;
    if (entry.dir) seen.add(entry.name);
  }
  return true;
}

async function withDirectories(entries: Entry[]): Promise<Buffer> {
  const zip = new JSZip();
  const folders = new Set(entries.flatMap((entry) => [...parentsOf(entry.name), ...(entry.dir ? [entry.name] : [])]));
  for (const folder of [...folders].sort()) zip.file(folder, null, { dir: true, createFolders: false, date: NO_DATE });
  for (const entry of entries) if (!entry.dir) zip.files[entry.name] = entry;
  return generate(zip);
}

/** Packs files (path below the release's folder → content) as agents want them: directory entries first. */
export async function packFunctions(files: ReadonlyMap<string, Buffer>): Promise<Buffer> {
  const zip = new JSZip();
  const names = [...files.keys()].sort();
  for (const folder of [...new Set(names.flatMap(parentsOf))].sort())
    zip.file(folder, null, { dir: true, createFolders: false, date: NO_DATE });
  for (const name of names) zip.file(name, files.get(name) ?? '', { createFolders: false, date: NO_DATE });
  return generate(zip);
}

const generate = (zip: JSZip): Promise<Buffer> =>
  zip.generateAsync({ type: 'nodebuffer', compression: 'DEFLATE', platform: 'UNIX' });
