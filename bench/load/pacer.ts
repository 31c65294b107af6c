/**
 * An open loop: requests of a fleet at its own pace, whether answers come or not. Each tick sends what is due over a pool of
 * connections, each child's requests spread evenly over its interval. Takes its task as JSON in argv[2].
 */
import { connect, type Socket } from 'node:net';
import { requests } from './bodies.ts';
import { type Outcome, type PaceTask, taskOf } from './task.ts';

const task = JSON.parse(process.argv[2] ?? '{}') as PaceTask;
const TICK_MS = 4;
/** Answers that a slow server owes are waited for so long at the end. */
const LATEST_MS = 2_000;

type Connection = { socket: Socket; sent: number[] };

const latencies: number[] = [];
let failed = 0;
let firstFailure = '';
let owed = 0;

function open(): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: task.port, host: '127.0.0.1', noDelay: true });
    const connection: Connection = { socket, sent: [] };
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1');
      for (;;) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        const at = rest.indexOf('ontent-Length: ');
        const length = at < 0 || at > end ? 0 : parseInt(rest.slice(at + 15, end), 10);
        if (rest.length < end + 4 + length) return;
        latencies.push(performance.now() - (connection.sent.shift() ?? NaN));
        owed--;
        if (rest[9] !== '2' && failed++ === 0) firstFailure = rest.slice(0, 300);
        rest = rest.slice(end + 4 + length);
      }
    });
    socket.once('error', reject);
    socket.once('connect', () => resolve(connection));
  });
}

const connections = await Promise.all(Array.from({ length: task.connections }, open));
let turn = 0;
function send(request: Buffer): void {
  // One with nothing under way, if there is one: requests are not to wait for one another.
  for (let tried = 0; tried < connections.length; tried++) {
    const connection = connections[turn++ % connections.length];
    if (connection === undefined || (connection.sent.length > 0 && tried + 1 < connections.length)) continue;
    connection.sent.push(performance.now());
    connection.socket.write(request);
    owed++;
    return;
  }
}

const streams = task.streams.map((stream) => ({
  next: requests(taskOf(stream)),
  perMs: stream.perSecond / 1000,
  due: 0,
}));
const start = performance.now();
const startedAt = Date.now();
let last = start;
while (performance.now() - start < task.seconds * 1000) {
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  const now = performance.now();
  for (const stream of streams) {
    stream.due += stream.perMs * (now - last);
    for (; stream.due >= 1; stream.due--) send(stream.next());
  }
  last = now;
}
const seconds = (performance.now() - start) / 1000;
const answered = latencies.length;
while (owed > 0 && performance.now() - last < LATEST_MS) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
latencies.sort((a, b) => a - b);
const at = (share: number): number =>
  latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
const outcome: Outcome = {
  requests: latencies.length,
  perSecond: answered / seconds,
  startedAt,
  failed: failed + owed,
  firstFailure: firstFailure === '' && owed > 0 ? `${owed} answers did not come` : firstFailure,
  p50: at(0.5),
  p99: at(0.99),
};
process.stdout.write(`${JSON.stringify(outcome)}\n`);
process.exit(0);
