/** Load from a process of its own. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Outcome, Task } from '../load/task.ts';
import { spawnAt } from './processes.ts';

const GENERATOR = fileURLToPath(new URL('../load/generator.ts', import.meta.url));
const DEFAULTS: Task = {
  port: 0,
  method: 'POST',
  path: '/',
  connections: 50,
  seconds: 2,
  body: 'none',
  prefix: 'b',
  longIds: false,
  children: 10_000,
  from: 0,
  release: '',
  stage: '',
  next: '',
};

/** An answer other than 200 is an error: a figure that holds refusals would be worth nothing. */
export async function load(task: Partial<Task>): Promise<Outcome> {
  const child = spawnAt('rest', process.execPath, [GENERATOR, JSON.stringify({ ...DEFAULTS, ...task })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  const outcome = JSON.parse(output) as Outcome;
  if (outcome.failed > 0)
    throw new Error(`${outcome.failed} of ${outcome.requests} requests failed: ${outcome.firstFailure}`);
  return outcome;
}
