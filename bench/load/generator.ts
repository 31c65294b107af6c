/**
 * A closed loop of connections with one request each at a time, as cheap as it can be: it shares a machine with what it
 * measures. Takes its task as JSON in argv[2] and prints what came of it as one line of JSON.
 */
import { connect } from 'node:net';
import { requests } from './bodies.ts';
import type { Outcome, Task } from './task.ts';

const task = JSON.parse(process.argv[2] ?? '{}') as Task;
const latencies = new Float64Array(20_000_000);
let sentRequests = 0;
let answered = 0;
let failed = 0;
let firstFailure = '';
let stopped = false;

const next = requests(task);
const LENGTH = 'ontent-Length: ';
const END = '\r\n\r\n';
const [DIGIT_0, DIGIT_2] = [0x30, 0x32];

/** The length of a whole answer, or Infinity while its head isn't whole. */
function lengthOf(bytes: Buffer, size: number): number {
  const end = bytes.indexOf(END, 0, 'latin1');
  if (end < 0 || end >= size) return Infinity;
  const at = bytes.indexOf(LENGTH, 0, 'latin1');
  if (at < 0 || at > end) return end + END.length;
  let length = 0;
  for (let i = at + LENGTH.length; ; i++) {
    const digit = (bytes[i] ?? 0) - DIGIT_0;
    if (digit < 0 || digit > 9) return end + END.length + length;
    length = length * 10 + digit;
  }
}

function drive(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sent = 0;
  let missing = Infinity;
  let size = 0;
  const buffer = Buffer.alloc(64 * 1024);
  const pending = Buffer.alloc(64 * 1024);

  function send(): void {
    if (stopped || (task.count !== undefined && sentRequests >= task.count)) {
      socket.end();
      return resolve();
    }
    sentRequests++;
    sent = performance.now();
    missing = Infinity;
    size = 0;
    socket.write(next());
  }
  function done(): void {
    latencies[answered++ % latencies.length] = performance.now() - sent;
    // Only the first digit: a 2 is what is hoped for.
    if (pending[9] !== DIGIT_2 && failed++ === 0) firstFailure = pending.toString('latin1', 0, Math.min(size, 500));
    send();
  }
  function received(bytes: number): boolean {
    if (missing === Infinity) {
      buffer.copy(pending, size, 0, bytes);
      size += bytes;
      pending[size] = 0;
      missing = lengthOf(pending, size) - size;
    } else missing -= bytes;
    if (missing <= 0) done();
    return true;
  }

  const socket = connect({ port: task.port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback: received } });
  socket.on('error', reject);
  socket.on('close', resolve);
  socket.once('connect', send);
  return promise;
}

const start = performance.now();
const startedAt = Date.now();
const timer = task.count === undefined ? setTimeout(() => (stopped = true), task.seconds * 1000) : undefined;
await Promise.all(Array.from({ length: task.connections }, drive));
clearTimeout(timer);
const seconds = (performance.now() - start) / 1000;
const sorted = latencies.subarray(0, Math.min(answered, latencies.length)).sort();
const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
const outcome: Outcome = {
  requests: answered,
  perSecond: answered / seconds,
  startedAt,
  failed,
  firstFailure,
  p50: at(0.5),
  p99: at(0.99),
};
process.stdout.write(`${JSON.stringify(outcome)}\n`);
