/** A zip's own list of its entries, as it stands in the file: what libraries make of it hides what some agents meet. */

export type ZipEntry = {
  name: string;
  /** Unix mode, or 0 where the zip was made on a system without. */
  mode: number;
  stored: boolean;
};

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_SIZE = 22;
const ENTRY_SIZE = 46;
const MAX_COMMENT = 0xffff;
/** Unix and macOS keep a mode in an entry's attributes. */
const WITH_MODE = new Set([3, 19]);

/** Null where the list is damaged, or names another number of entries than it says. */
export function centralDirectory(bytes: Buffer): ZipEntry[] | null {
  let end = bytes.length - END_SIZE;
  const last = Math.max(0, end - MAX_COMMENT);
  while (end >= last && bytes.readUInt32LE(end) !== END) end--;
  if (end < last || bytes.length < END_SIZE) return null;
  const count = bytes.readUInt16LE(end + 10);
  const stop = bytes.readUInt32LE(end + 16) + bytes.readUInt32LE(end + 12);
  const entries: ZipEntry[] = [];
  for (let at = bytes.readUInt32LE(end + 16); at < stop;) {
    if (at + ENTRY_SIZE > bytes.length || bytes.readUInt32LE(at) !== ENTRY) return null;
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const attributes = bytes.readUInt32LE(at + 38);
    entries.push({
      name: bytes.toString('utf8', at + ENTRY_SIZE, at + ENTRY_SIZE + nameLength),
      mode: WITH_MODE.has(bytes.readUInt8(at + 5)) ? attributes >>> 16 : 0,
      stored: bytes.readUInt16LE(at + 10) === 0,
    });
    at += ENTRY_SIZE + nameLength + extra + comment;
  }
  return entries.length === count ? entries : null;
}
