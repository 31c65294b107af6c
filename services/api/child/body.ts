/** A bounded reader of small JSON bodies: no general parser on the routes that a fleet calls every second. */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { check } from '#wire/child.ts';
import { ChildError } from './errors.ts';

/** So much of a body that is too large is read all the same: a client that is still sending would miss its answer. */
const DRAINED = 8 * 1024 * 1024;
const DRAINED_MS = 1_000;

/** Bodies that were read before the application got the request (see hot.ts). */
const readBefore = new WeakMap<IncomingMessage, Promise<string>>();

/** The text of a body of JSON. Errors: 413, 415, 400. */
export function readText(request: IncomingMessage, limit: number): Promise<string> {
  const before = readBefore.get(request);
  if (before !== undefined) return before;
  const reading = read(request, limit);
  readBefore.set(request, reading);
  return reading;
}

function read(request: IncomingMessage, limit: number): Promise<string> {
  const type = request.headers['content-type'];
  if (type !== undefined && !isJson(type))
    return Promise.reject(new ChildError(415, `Content-Type must be application/json, not ${type}`));
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    return Promise.reject(new ChildError(415, `Content-Encoding must be identity, not ${encoding}`));
  return readAll(request, limit);
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

const isJson = (type: string): boolean =>
  type === 'application/json' || /^application\/(?:json|[\w.+-]+\+json)\s*(?:;|$)/i.test(type);

function readAll(request: IncomingMessage, limit: number): Promise<string> {
  const tooLarge = (): ChildError => new ChildError(413, `the body is larger than ${limit} bytes`);
  if (Number(request.headers['content-length']) > limit + DRAINED) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let overdue: NodeJS.Timeout | undefined;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else if (size > limit + DRAINED) reject(tooLarge());
      else overdue ??= setTimeout(() => reject(tooLarge()), DRAINED_MS);
    });
    request.on('end', () => {
      clearTimeout(overdue);
      if (size > limit) return reject(tooLarge());
      const [only = Buffer.alloc(0)] = chunks;
      resolve((chunks.length > 1 ? Buffer.concat(chunks) : only).toString('utf8'));
    });
    request.on('error', reject);
    request.on('aborted', () => {
      clearTimeout(overdue);
      reject(new ChildError(400, 'the body ended early'));
    });
  });
}
