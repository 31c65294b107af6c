/** The one way to Lua: a file per atomic operation, its keys by name. */
import type { Client } from './client.ts';
import { readScript } from './lua-source.ts';

/** The names of KEYS in order, by room, as the header of each file in lua/ states them; some take more keys behind them. */
const ROOMS = {
  children: {
    'read-children': [],
    'apply-results': ['agg', 'index', 'seen', 'due', 'late'],
    join: ['seen', 'late'],
    heartbeat: ['seen', 'late'],
    'compare-and-set': ['agg', 'index', 'due', 'order'],
    'delete-child': ['child', 'seen'],
    'forget-records': ['index', 'due'],
    'note-served': ['served'],
  },
  enrolment: {
    enrol: ['agg', 'index', 'from', 'sizes'],
    'first-in-order': ['own', 'late', 'from'],
    assign: ['agg', 'sizes', 'arrived'],
    'write-order': ['rollout', 'locations'],
    'read-locations': ['agg'],
  },
  releases: {
    publish: ['release', 'rollout'],
    'drop-bundle': ['bundle'],
    'write-rollout': ['rollout'],
  },
  layout: {
    'take-lease': ['meta'],
    'begin-repartition': ['meta'],
    'begin-migration': ['meta'],
    'note-offline-work': ['meta'],
    'move-dead-letters': ['dead', 'taken'],
    'drop-lock': ['lock'],
  },
} as const;

const SCRIPTS = { ...ROOMS.children, ...ROOMS.enrolment, ...ROOMS.releases, ...ROOMS.layout };

type Name = keyof typeof SCRIPTS;
type Argument = string | number;

const commandOf = (name: string): string => `choir:${name}`;

const TEXTS = Object.entries(ROOMS).flatMap(([room, scripts]) =>
  Object.keys(scripts).map((name) => ({ command: commandOf(name), lua: readScript(`${room}/${name}`) })),
);

/** Makes the scripts known to a connection. ioredis sends a script's text once per connection, then its digest. */
export function defineScripts(client: Client): void {
  for (const { command, lua } of TEXTS) client.defineCommand(command, { lua });
}

/** `more`: keys behind the named ones. */
export type Call<N extends Name> = {
  keys: Record<(typeof SCRIPTS)[N][number], string>;
  more?: readonly string[];
  args: readonly Argument[];
};

/** Runs a script on a connection. */
export function runScript<N extends Name>(on: Client, name: N, { keys, more = [], args }: Call<N>): Promise<unknown> {
  const all = [...SCRIPTS[name].map((key) => (keys as Record<string, string>)[key] ?? ''), ...more];
  const commands = on as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>;
  // A cluster's connection to one of its nodes comes without them.
  if (commands[commandOf(name)] === undefined) defineScripts(on);
  const command = commands[commandOf(name)];
  if (command === undefined) throw new Error(`there is no script ${name}`);
  return command.call(on, all.length, ...all, ...args);
}
