/** `choir` as a process of its own, as people type it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** `done`: what it printed, and its exit code; null: a signal has ended it. `output`: what it has printed so far. */
export function runChoir(args: readonly string[], env: Record<string, string>, stack: AsyncDisposableStack) {
  const child = spawn(process.execPath, ['bin/choir.js', ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  stack.defer(() => void child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const done = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }));
  return { child, done, output: () => out };
}
