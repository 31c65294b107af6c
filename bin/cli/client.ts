/** The operator API as the CLI calls it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { cliEnvironment } from '#runtime/config.ts';
import type { Problem } from '#wire/operator/problem.ts';

const ANSWER_MS = 10_000;
const UPLOAD_MS = 120_000;

/** The manager can't be reached, or can't serve now. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** The manager answered, and it was no. */
export class Refused extends Error {
  override name = 'Refused';
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

export type Client = ReturnType<typeof createClient>;

export function createClient({ url: address, token, dataDir }: ReturnType<typeof cliEnvironment>) {
  const url = address.replace(/\/+$/, '');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new Error(`CHOIR_URL is no http address: ${address}`);
  const bearer = token ?? tokenIn(dataDir);
  if (!/^[\x21-\x7e]*$/.test(bearer)) throw new Error('CHOIR_TOKEN holds characters that no token has');

  async function call<T>(method: string, path: string, body?: FormData | object): Promise<{ status: number; body: T }> {
    const json = body !== undefined && !(body instanceof FormData);
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, ...(json ? { 'content-type': 'application/json' } : {}) },
      ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(body instanceof FormData ? UPLOAD_MS : ANSWER_MS),
    }).catch((error: Error & { cause?: Error }) => {
      throw new Unreachable(`no manager answers at ${url}: ${error.cause?.message ?? error.message}`);
    });
    const text = await response.text();
    if (response.ok) return { status: response.status, body: (text === '' ? null : JSON.parse(text)) as T };
    if (!response.headers.get('content-type')?.startsWith('application/problem+json'))
      throw new Unreachable(`${url} answered ${response.status}: ${text.trim().slice(0, 200)}`);
    const problem = JSON.parse(text) as Problem;
    if (problem.status === 401)
      throw new Error(`the manager at ${url} takes no such token: set CHOIR_TOKEN, or DATA_DIR to the manager's own`);
    if (problem.status === 503) throw new Unreachable(`${url}: ${problem.title}`);
    throw new Refused(problem);
  }
  return { url, call };
}

/** The body of a publish. */
export function releaseForm({ yml, zip }: { yml: Buffer; zip: Buffer }): FormData {
  const form = new FormData();
  form.set('release', new Blob([new Uint8Array(yml)]), 'release.yml');
  form.set('functions', new Blob([new Uint8Array(zip)]), 'fns.zip');
  return form;
}

function tokenIn(dataDir: string): string {
  try {
    return readFileSync(join(dataDir, 'operator-token'), 'utf8').trim();
  } catch {
    return '';
  }
}
