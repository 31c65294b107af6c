/** The operator API for tests. */
import type { ChildView, ReleaseChildView, ReleaseView } from '#wire/operator/responses.ts';
import type { Problem } from '#wire/operator/problem.ts';
import { sieveYml, sieveZip } from '#test/harness/plans/release-files.ts';

export type Operator = ReturnType<typeof createOperator>;

export function createOperator(url: string, token: string) {
  async function raw(
    method: string,
    path: string,
    body?: FormData | object | string,
    headers: Record<string, string> = {},
  ) {
    const json = body !== undefined && !(body instanceof FormData);
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(json ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: json && typeof body !== 'string' ? JSON.stringify(body) : (body as FormData | string) }),
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }
  async function ok<T>(method: string, path: string, body?: FormData | object): Promise<T> {
    const reply = await raw(method, path, body);
    if (reply.status >= 300) throw new Error(`${method} ${path} answered ${reply.status}: ${reply.text}`);
    return (reply.text === '' ? null : JSON.parse(reply.text)) as T;
  }
  const form = (yml: string | Buffer, zip: Buffer): FormData => {
    const data = new FormData();
    data.set('release', new Blob([new Uint8Array(Buffer.from(yml))]), 'release.yml');
    data.set('functions', new Blob([new Uint8Array(zip)]), 'fns.zip');
    return data;
  };
  return {
    raw,
    ok,
    form,
    problem: async (method: string, path: string, body?: FormData | object | string): Promise<Problem> =>
      JSON.parse((await raw(method, path, body)).text) as Problem,
    /** `func`: the function that it touches; by default one of its own. */
    publish: async (id: string, func?: string): Promise<void> =>
      void (await ok('POST', '/releases', form(sieveYml(id, '', func), await sieveZip()))),
    start: (id: string, plan?: string | object) =>
      ok<ReleaseView>('POST', `/releases/${id}/start`, plan === undefined ? {} : { plan }),
    /** Pause, resume, promote and so on. */
    control: (id: string, name: string, body: object = {}) => ok<ReleaseView>('POST', `/releases/${id}/${name}`, body),
    abort: (id: string) => ok<ReleaseView>('POST', `/releases/${id}/abort`, {}),
    show: (id: string) => ok<ReleaseView>('GET', `/releases/${id}`),
    child: (release: string, id: string) => ok<ReleaseChildView>('GET', `/releases/${release}/children/${id}`),
    async fleet(): Promise<ChildView[]> {
      const all: ChildView[] = [];
      for (let from: string | null = ''; from !== null;) {
        const cursor: string = from === '' ? '' : `&cursor=${from}`;
        const page = await ok<{ items: ChildView[]; next: string | null }>('GET', `/children?limit=1000${cursor}`);
        all.push(...page.items);
        from = page.next;
      }
      return all;
    },
    children: (release: string) =>
      ok<{ items: ReleaseChildView[]; next: string | null }>('GET', `/releases/${release}/children?limit=1000`),
  };
}
