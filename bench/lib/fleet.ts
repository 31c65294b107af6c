/** Children put into a manager over HTTP, and a release to run on them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { releaseForm } from './release.ts';
import { load } from './load.ts';
import { type Roles, TOKEN } from './processes.ts';

const CHECK_MS = 10;

export async function operator<T>(url: string, method: string, path: string, body?: object | FormData): Promise<T> {
  const reply = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${TOKEN}`,
      ...(body !== undefined && !(body instanceof FormData) && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
  return JSON.parse(text) as T;
}

export async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(CHECK_MS);
}

const isKnown = async (url: string, id: string): Promise<boolean> =>
  (await fetch(`${url}/api/v1/children/${id}`, { headers: { Authorization: `Bearer ${TOKEN}` } })).ok;

/** Children `<prefix>-<from>` and on poll once; resolves when they are known. */
export async function joinAll(
  { url, port }: Pick<Roles, 'url' | 'port'>,
  prefix: string,
  children: number,
  from = 0,
): Promise<void> {
  await load({ port, path: '/poll', body: 'poll', prefix, children, from, count: children });
  const last = Array.from({ length: Math.min(100, children) }, (_, i) => `${prefix}-${from + children - 1 - i}`);
  await until(async () => (await Promise.all(last.map((id) => isKnown(url, id)))).every(Boolean));
}

type Shown = {
  state: string;
  progress: { locations: { children: number | null; stages: Record<string, number>[] }[] };
};
export const show = (url: string, id: string): Promise<Shown> => operator<Shown>(url, 'GET', `/releases/${id}`);

/** Publishes and starts a release, and waits until all children are enrolled. */
export async function enrolAll(url: string, id: string, children: number, form?: FormData): Promise<void> {
  await operator(url, 'POST', '/releases', form ?? (await releaseForm(id)));
  await startAndEnrol(url, id, children);
}

export async function startAndEnrol(url: string, id: string, children: number): Promise<void> {
  await operator(url, 'POST', `/releases/${id}/start`, { plan: { conflicts: 'allow' } });
  await until(async () => (await show(url, id)).progress.locations[0]?.children === children);
}
