/**
 * A closed loop of connections with one request each at a time, as cheap as it can be: it shares a machine with what it
 * measures. Takes its task as JSON in argv[2] and prints what came of it as one line of JSON.
 */
import { connect, type Socket } from 'node:net';
import { bodies } from './bodies.ts';
import type { Outcome, Task } from './task.ts';

const task = JSON.parse(process.argv[2] ?? '{}') as Task;
const latencies: number[] = [];
let requests = 0;
let failed = 0;
let firstFailure = '';
let stopped = false;

const body = bodies(task);
const head =
  task.method === 'GET'
    ? `GET ${task.path} HTTP/1.1\r\nHost: bench\r\n\r\n`
    : `POST ${task.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: `;
const next = (): string => {
  if (task.method === 'GET') return head;
  const text = body();
  return `${head}${text.length}\r\n\r\n${text}`;
};

function drive(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket: Socket = connect({ port: task.port, host: '127.0.0.1', noDelay: true });
  let sent = 0;
  let missing = 0;
  let pending = '';
  const send = (): void => {
    if (stopped || (task.count !== undefined && requests >= task.count)) {
      stopped = true;
      socket.end();
      return resolve();
    }
    requests++;
    sent = performance.now();
    socket.write(next(), 'latin1');
  };
  const done = (status: string): void => {
    latencies.push(performance.now() - sent);
    if (status !== '200' && failed++ === 0) firstFailure = pending.slice(0, 500);
    pending = '';
    send();
  };
  socket.on('data', (chunk: Buffer) => {
    if (missing > 0) {
      missing -= chunk.length;
      if (missing <= 0) done('200');
      return;
    }
    pending += chunk.toString('latin1');
    const end = pending.indexOf('\r\n\r\n');
    if (end < 0) return;
    const at = pending.search(/content-length: /i);
    const length = at < 0 || at > end ? 0 : parseInt(pending.slice(at + 16, end), 10);
    missing = end + 4 + length - pending.length;
    if (missing <= 0) done(pending.slice(9, 12));
    else if (pending.slice(9, 12) === '200') pending = '';
    else missing = 0;
  });
  socket.on('error', reject);
  socket.on('close', resolve);
  socket.once('connect', send);
  return promise;
}

const start = performance.now();
const timer = task.count === undefined ? setTimeout(() => (stopped = true), task.seconds * 1000) : undefined;
await Promise.all(Array.from({ length: task.connections }, drive));
clearTimeout(timer);
const seconds = (performance.now() - start) / 1000;
latencies.sort((a, b) => a - b);
const at = (share: number): number =>
  latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
const outcome: Outcome = {
  requests: latencies.length,
  perSecond: latencies.length / seconds,
  failed,
  firstFailure,
  p50: at(0.5),
  p99: at(0.99),
};
process.stdout.write(`${JSON.stringify(outcome)}\n`);
