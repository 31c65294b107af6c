/** A bounded reader of small JSON bodies: no general parser on the routes that a fleet calls every second. */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { check } from '#wire/child/requests.ts';
import { ChildError } from './errors.ts';

/** So much of a body that is too large is read all the same: a client that is still sending would miss its answer. */
const DRAINED = 8 * 1024 * 1024;
const DRAINED_MS = 1_000;

const [TYPE, LENGTH, ENCODING] = ['content-type', 'content-length', 'content-encoding'] as const;

/** Called once; where there is an error the text is ''. */
type Done = (error: ChildError | null, text: string) => void;

/** The text of a body of JSON. Errors: 413, 415, 400. */
export function readText(request: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    readBody(request, limit, (error, read) => (error === null ? resolve(read) : reject(error)));
  });
}

/** With a callback, which is called as soon as the last byte is there: a promise would cost another turn. */
export function readBody(request: IncomingMessage, limit: number, done: Done): void {
  const { type, encoding, length } = headersOf(request);
  if (type !== undefined && !isJson(type))
    return done(new ChildError(415, `Content-Type must be application/json, not ${type}`), '');
  if (encoding !== undefined && encoding !== 'identity')
    return done(new ChildError(415, `Content-Encoding must be identity, not ${encoding}`), '');
  const declared = Number(length);
  if (declared > limit + DRAINED) return done(tooLarge(limit), '');
  if (!(declared > 0 && declared <= limit)) return collect(request, [], limit, done);
  let begun = false;
  request.on('data', (chunk: Buffer) => {
    if (begun) return;
    begun = true;
    // As a rule it comes in one piece.
    if (chunk.length === declared) done(null, chunk.toString('utf8'));
    else collect(request, [chunk], limit, done);
  });
  request.on('error', () => {
    if (!begun) done(endedEarly(), '');
  });
}

/** What of the headers counts here. Asking for `headers` would make Node build an object of all of them. */
function headersOf({ rawHeaders }: IncomingMessage): { type?: string; encoding?: string; length?: string } {
  const found: { type?: string; encoding?: string; length?: string } = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    if (name.length === TYPE.length && name.toLowerCase() === TYPE) found.type ??= value;
    else if (name.length === LENGTH.length && name.toLowerCase() === LENGTH) found.length ??= value;
    else if (name.length === ENCODING.length && name.toLowerCase() === ENCODING) found.encoding ??= value;
  }
  return found;
}

const tooLarge = (limit: number): ChildError => new ChildError(413, `the body is larger than ${limit} bytes`);
const endedEarly = (): ChildError => new ChildError(400, 'the body ended early');
const isJson = (type: string): boolean =>
  type === 'application/json' || /^application\/(?:json|[\w.+-]+\+json)\s*(?:;|$)/i.test(type);

/** The rest of a body that comes in pieces, or of an unknown or too great length. */
function collect(request: IncomingMessage, chunks: Buffer[], limit: number, done: Done): void {
  let size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  let overdue: NodeJS.Timeout | undefined;
  let finished = false;
  const finish: Done = (error, text) => {
    if (finished) return;
    finished = true;
    clearTimeout(overdue);
    done(error, text);
  };
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else if (size > limit + DRAINED) finish(tooLarge(limit), '');
    else overdue ??= setTimeout(() => finish(tooLarge(limit), ''), DRAINED_MS);
  });
  request.on('end', () =>
    size > limit ? finish(tooLarge(limit), '') : finish(null, Buffer.concat(chunks).toString('utf8')),
  );
  request.on('error', () => finish(endedEarly(), ''));
}

/** Checks a text against a schema; a fault is a 400 that names the field. */
export function parseJson<T extends z.ZodType>(text: string, schema: T): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ChildError(400, `the body is not JSON: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`);
  }
  const checked = check(schema, value);
  if ('fault' in checked) throw new ChildError(400, checked.fault);
  return checked.data;
}
