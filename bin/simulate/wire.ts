/** The child protocol as the reference agent speaks it: its spelling, keep-alive, no time limits. */
import { Agent, request } from 'undici';

export type Answer = {
  status: number;
  text: string;
  bytes: Buffer;
  /** `Retry-After`: when a cooperative child asks again. The reference agent reads no header. */
  retryAfterMs: number | null;
};

export type Wire = {
  post(path: string, body: unknown): Promise<Answer>;
  get(path: string): Promise<Answer>;
  close(): Promise<void>;
};

export type Observe = (path: string, status: number | null, ms: number) => void;

/** `observe` is told of every answer, or of a connection that broke (status null). */
export function createWire(url: string, connections: number, observe: Observe): Wire {
  const dispatcher = new Agent({ connections, headersTimeout: 0, bodyTimeout: 0 });

  async function send(method: 'GET' | 'POST', path: string, body?: string): Promise<Answer> {
    const started = performance.now();
    const route = path.split('?')[0]?.replace(/^\/release\/functions\/.*/, '/release/functions') ?? path;
    try {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const answer = await request(url + path, { method, dispatcher, headers, body: body ?? null });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      observe(route, answer.statusCode, performance.now() - started);
      const again = String(answer.headers['retry-after'] ?? '');
      const retryAfterMs = /^\d+$/.test(again) ? Number(again) * 1000 : null;
      return { status: answer.statusCode, text: bytes.toString('utf8'), bytes, retryAfterMs };
    } catch (error) {
      observe(route, null, performance.now() - started);
      throw error;
    }
  }

  return {
    post: (path, body) => send('POST', path, JSON.stringify(body)),
    get: (path) => send('GET', path),
    close: () => dispatcher.close(),
  };
}
