/** The one way to Lua: a file per atomic operation, its keys by name. */
import { readFileSync } from 'node:fs';
import type { Client } from './redis.ts';

/** The names of KEYS in order, as the header of each file in lua/ states them; some take more keys behind them. */
const SCRIPTS = {
  'read-children': [],
  apply: ['agg', 'index', 'seen'],
  join: ['seen'],
  heartbeat: ['seen'],
  enrol: ['agg', 'index', 'order', 'seen'],
  order: ['agg', 'order'],
  'delete-child': ['child', 'seen'],
  'forget-records': ['index'],
  publish: ['release', 'rollout'],
  'drop-bundle': ['bundle'],
  'write-rollout': ['rollout'],
  'take-lease': ['meta'],
  'begin-repartition': ['meta'],
  'write-layout': ['meta'],
  'move-dead': ['dead', 'taken'],
} as const;

type Name = keyof typeof SCRIPTS;
type Argument = string | number;

const commandOf = (name: Name): string => `choir:${name}`;

/** Makes the scripts known to a connection. ioredis sends a script's text once per connection, then its digest. */
export function defineScripts(client: Client): void {
  for (const name of Object.keys(SCRIPTS) as Name[])
    client.defineCommand(commandOf(name), {
      lua: readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8'),
    });
}

/** Runs a script on a connection. */
export function runScript<N extends Name>(
  on: Client,
  name: N,
  keys: Record<(typeof SCRIPTS)[N][number], string>,
  args: readonly Argument[],
  more: readonly string[] = [],
): Promise<unknown> {
  const all = [...SCRIPTS[name].map((key) => (keys as Record<string, string>)[key] ?? ''), ...more];
  const command = (on as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>)[commandOf(name)];
  if (command === undefined) throw new Error(`the connection doesn't know the script ${name}`);
  return command.call(on, all.length, ...all, ...args);
}
