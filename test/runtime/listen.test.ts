/** How a server stops: no request that is on its way is lost. */
import { Agent, createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { listen } from '#runtime/health.ts';

const answer = (port: number, agent: Agent): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ port, agent, host: '127.0.0.1' }, (reply) => {
      reply.resume();
      reply.on('end', () => resolve(reply.headers.connection));
    });
    sent.on('error', reject);
    sent.end();
  });

it('answers one more request on an idle connection, as the last, and then closes', async () => {
  const server = createServer((_, response) => response.end('ok'));
  const { port, close } = await listen(server, '127.0.0.1', 0, 20_000);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await answer(port, agent)).toBe('keep-alive');
  const began = performance.now();
  const closed = close();
  await sleep(200);
  expect(await answer(port, agent)).toBe('close');
  await closed;
  expect(performance.now() - began).toBeLessThan(10_000);
  await expect(answer(port, new Agent())).rejects.toThrow('ECONNREFUSED');
});

it('closes idle connections when the grace is over', async () => {
  const server = createServer((_, response) => response.end('ok'));
  const { port, close } = await listen(server, '127.0.0.1', 0, 300);
  await answer(port, new Agent({ keepAlive: true }));
  const began = performance.now();
  await close();
  expect(performance.now() - began).toBeGreaterThan(250);
  expect(performance.now() - began).toBeLessThan(4_000);
});
