/** Load from a process of its own. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Outcome, type PaceTask, type Task, taskOf } from '../load/task.ts';
import { spawnAt } from './processes.ts';

const PACER = fileURLToPath(new URL('../load/pacer.ts', import.meta.url));
const GENERATOR = fileURLToPath(new URL('../load/generator.ts', import.meta.url));

/** What came of a task in a process of its own. */
async function run(program: string, task: object): Promise<Outcome> {
  const child = spawnAt('rest', process.execPath, [program, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  return JSON.parse(output) as Outcome;
}

/** A closed loop. An answer other than 200 is an error: a figure that holds refusals would be worth nothing. */
export async function load(task: Partial<Task>): Promise<Outcome> {
  const outcome = await run(GENERATOR, taskOf(task));
  if (outcome.failed > 0)
    throw new Error(`${outcome.failed} of ${outcome.requests} requests failed: ${outcome.firstFailure}`);
  return outcome;
}

/** An open loop. */
export const pace = (task: PaceTask): Promise<Outcome> => run(PACER, task);
