/** A bounded reader of small JSON bodies: no general parser on the routes that a fleet calls every second. */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { check } from '#wire/child.ts';
import { ChildError } from './errors.ts';

/** So much of a body that is too large is read all the same: a client that is still sending would miss its answer. */
const DRAINED = 8 * 1024 * 1024;
const DRAINED_MS = 1_000;

export async function readJson<T extends z.ZodType>(
  request: IncomingMessage,
  schema: T,
  limit: number,
): Promise<z.infer<T>> {
  const type = request.headers['content-type'];
  if (type !== undefined && !/^application\/(?:json|[\w.+-]+\+json)\s*(?:;|$)/i.test(type))
    throw new ChildError(415, `Content-Type must be application/json, not ${type}`);
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new ChildError(415, `Content-Encoding must be identity, not ${encoding}`);
  const text = await readText(request, limit);
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

function readText(request: IncomingMessage, limit: number): Promise<string> {
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
    request.on('close', () => clearTimeout(overdue));
    request.on('end', () => (size > limit ? reject(tooLarge()) : resolve(Buffer.concat(chunks).toString('utf8'))));
    request.on('error', reject);
    request.on('aborted', () => reject(new ChildError(400, 'the body ended early')));
  });
}
