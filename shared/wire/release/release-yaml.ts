/** YAML as agents read it, with the line of everything in it. */
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Finding } from '#domain/strategy/strategy.ts';

/** A strategy of 64 stages needs a tenth of it; a larger file would be the manager's own trouble to parse. */
const MAX_YML = 256 * 1024;

export type ReleaseYaml = {
  content: unknown;
  /** ` (line 7)`, or nothing where the path leads nowhere. */
  line(path: readonly PropertyKey[]): string;
  /** Whether a scalar stands in quotes: agents read numbers from plain ones only. */
  isQuoted(path: readonly PropertyKey[]): boolean;
};

/**
 * Every scalar is its source text (YAML's failsafe schema), so that an id `1.0` or `010` stays as written; plain `null`,
 * `~` and nothing are no value.
 */
export function readReleaseYaml(bytes: Buffer): ReleaseYaml | { faults: Finding[] } {
  if (bytes.length > MAX_YML) return failed(`release.yml is larger than ${MAX_YML} bytes`);
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return failed('release.yml is not UTF-8 text');
  }
  try {
    return readSource(source);
  } catch (error) {
    return failed(error instanceof RangeError ? 'it nests too deeply, or holds itself' : (error as Error).message);
  }
}

const failed = (message: string) => ({ faults: [{ path: '', message }] });

function readSource(source: string): ReleaseYaml | { faults: Finding[] } {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number): number => lineCounter.linePos(offset).line;
  // The library compares every key with every other one: a file of many keys would block the whole process.
  const options = { schema: 'failsafe', merge: true, lineCounter, prettyErrors: false, uniqueKeys: false } as const;
  const document = parseDocument(source, options);
  const faults = document.errors.map(({ code, message, pos }) => ({
    path: `line ${lineAt(pos[0])}`,
    message: code === 'MULTIPLE_DOCS' ? 'a second document starts here: a release is one' : message,
  }));
  faults.push(...clean(document, lineAt));
  return faults.length > 0 ? { faults } : readerOf(document, lineAt);
}

/** Turns plain nulls into no value, and tells of keys that stand there twice. */
function clean(document: Document, lineAt: (offset: number) => number): Finding[] {
  const faults: Finding[] = [];
  visit(document, {
    Scalar(_, node) {
      if (node.type === 'PLAIN' && /^(~|null|Null|NULL|)$/.test(node.source ?? '')) node.value = null;
    },
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name) && isNode(key))
          faults.push({
            path: `line ${lineAt(key.range?.[0] ?? 0)}`,
            message: `the key "${String(name)}" stands there twice`,
          });
        seen.add(name);
      }
    },
  });
  return faults;
}

function readerOf(document: Document, lineAt: (offset: number) => number): ReleaseYaml {
  const at = (path: readonly PropertyKey[]): unknown => document.getIn(path, true);
  return {
    content: withoutNulls(document.toJS()),
    line(path) {
      for (let depth = path.length; depth > 0; depth--) {
        const node = at(path.slice(0, depth));
        if (isNode(node) && node.range) return ` (line ${lineAt(node.range[0])})`;
      }
      return '';
    },
    isQuoted(path) {
      const node = at(path);
      return isScalar(node) && !isMap(node) && (node.type?.startsWith('QUOTE') ?? false);
    },
  };
}

/** A key without a value is as good as absent: the schema then says "missing" and not "null". */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  return Object.fromEntries(Object.entries(value).flatMap(([k, v]) => (v === null ? [] : [[k, withoutNulls(v)]])));
}
