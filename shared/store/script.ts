/** The one way to Lua: a file per atomic operation, its keys by name. */
import { readFileSync } from 'node:fs';
import type { Client } from './redis.ts';

/** The names of KEYS in order, as the header of each file in lua/ states them; some take more keys behind them. */
const SCRIPTS = {
  'read-children': [],
  apply: ['agg', 'index', 'seen', 'due', 'late'],
  join: ['seen', 'late'],
  heartbeat: ['seen', 'late'],
  'swap-records': ['agg', 'index', 'due', 'order'],
  serve: ['served'],
  enrol: ['agg', 'index', 'from', 'sizes'],
  heads: ['agg', 'from'],
  assign: ['agg', 'sizes', 'arrived'],
  compose: ['rollout', 'places'],
  'read-places': ['agg'],
  'delete-child': ['child', 'seen'],
  'forget-records': ['index', 'due'],
  publish: ['release', 'rollout'],
  'drop-bundle': ['bundle'],
  'write-rollout': ['rollout'],
  'take-lease': ['meta'],
  'begin-repartition': ['meta'],
  'write-layout': ['meta'],
  'move-dead': ['dead', 'taken'],
  'drop-lock': ['lock'],
} as const;

type Name = keyof typeof SCRIPTS;
type Argument = string | number;

const commandOf = (name: Name): string => `choir:${name}`;

const TEXTS = (Object.keys(SCRIPTS) as Name[]).map((name) => ({
  command: commandOf(name),
  lua: readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8'),
}));

/** Makes the scripts known to a connection. ioredis sends a script's text once per connection, then its digest. */
export function defineScripts(client: Client): void {
  for (const { command, lua } of TEXTS) client.defineCommand(command, { lua });
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
  const commands = on as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>;
  // A cluster's connection to one of its nodes comes without them.
  if (commands[commandOf(name)] === undefined) defineScripts(on);
  const command = commands[commandOf(name)];
  if (command === undefined) throw new Error(`there is no script ${name}`);
  return command.call(on, all.length, ...all, ...args);
}
