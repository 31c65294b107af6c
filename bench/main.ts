/**
 * npm run bench [-- part …] [--quick] [--rounds n] [--seconds n] [--out file]: each figure beside its baseline, in one run.
 * Figures are medians over rounds in which the contenders alternate; the ratio is taken round by round.
 */
import { parseArgs } from 'node:util';
import type { Part, Row } from './lib/part.ts';
import { machineFacts, renderTable, verdict, writeJson } from './lib/report.ts';
import { bundle } from './parts/bundle.ts';
import { cost } from './parts/cost.ts';
import { enrol } from './parts/enrol.ts';
import { endStage } from './parts/end-stage.ts';
import { geo } from './parts/geo.ts';
import { join } from './parts/join.ts';
import { longPoll } from './parts/long-poll.ts';
import { memory } from './parts/memory.ts';
import { mixed } from './parts/mixed.ts';
import { result } from './parts/result.ts';
import { poll } from './parts/poll.ts';
import { signal } from './parts/signal.ts';
import { tick } from './parts/tick.ts';

const PARTS: readonly Part[] = [
  poll,
  endStage,
  join,
  result,
  bundle,
  memory,
  enrol,
  signal,
  tick,
  mixed,
  longPoll,
  cost,
  geo,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    out: { type: 'string', default: 'bench-results.json' },
  },
});
const names = PARTS.map(({ name }) => name);
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`there is no part ${unknown.join(', ')}: take of ${names.join(', ')}\n`);
  process.exit(1);
}
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const context = { rounds: Number(values.rounds), seconds: Number(values.seconds), quick: values.quick, say };

say(
  Object.entries(machineFacts())
    .map(([name, value]) => `${name} ${value}`)
    .join(', '),
);
const rows: Row[] = [];
const failed: string[] = [];
for (const part of PARTS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  say(`${part.name}: ${part.about}`);
  try {
    rows.push(...(await part.run(context)));
  } catch (error) {
    failed.push(`${part.name} failed: ${(error as Error).message}`);
    say(failed.at(-1) ?? '');
  }
}
say(`\n${renderTable(rows)}`);
writeJson(values.out, rows);
const missed = rows.filter((row) => verdict(row).endsWith('missed')).length;
say(
  `\n${missed} of ${rows.filter(({ target }) => target !== null).length} targets missed; all figures in ${values.out}`,
);
if (failed.length > 0) process.exitCode = 1;
