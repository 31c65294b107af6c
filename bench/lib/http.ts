/** One connection that is kept, for requests one after the other. */
import { Client } from 'undici';

export function keep(url: string) {
  const client = new Client(url, { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  return {
    async post(path: string, body: string): Promise<string> {
      const reply = await client.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json' },
        body,
      });
      const text = await reply.body.text();
      if (reply.statusCode !== 200) throw new Error(`${path}: ${reply.statusCode} ${text}`);
      return text;
    },
    close: () => void client.close(),
  };
}
