/** The machine's facts, the table on the screen, the JSON in a file. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { findRedisServer } from '#services/all/embedded-redis.ts';
import type { Row } from './part.ts';
import type { Figure } from './stats.ts';

export function machineFacts(): Record<string, string | number> {
  const [cpu] = cpus();
  const redis = findRedisServer(process.env['PATH'] ?? '');
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    system: `${type()} ${release()}`,
    node: process.version,
    redis: redis === null ? 'none' : (/v=(\S+)/.exec(execFileSync(redis, ['--version']).toString())?.[1] ?? '?'),
  };
}

const DIGITS = 3;
const short = (n: number): string =>
  Math.abs(n) >= 1000 ? Math.round(n).toLocaleString('en') : String(Number(n.toPrecision(DIGITS)));
const spread = ({ median, min, max }: Figure): string =>
  min === max ? short(median) : `${short(median)} (${short(min)}–${short(max)})`;

export function verdict({ value, ratio, target }: Row): string {
  if (target === null) return '';
  const is = (met: boolean): string => (met ? 'met' : 'missed');
  if ('atMostBytes' in target) return `≤ ${target.atMostBytes} bytes ${is(value.median <= target.atMostBytes)}`;
  if (ratio === null) return '';
  return 'atLeast' in target
    ? `≥ ${target.atLeast}× ${is(ratio.median >= target.atLeast)}`
    : `≤ ${target.atMost}× ${is(ratio.median <= target.atMost)}`;
}

export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.part,
    row.what,
    `${spread(row.value)} ${row.unit}`,
    row.baseline === null ? '' : `${row.baseline.what}: ${spread(row.baseline.value)}`,
    row.ratio === null ? '' : `${spread(row.ratio)}×`,
    verdict(row),
  ]);
  const all = [['part', 'what', 'median (spread)', 'baseline in the same run', 'ratio', 'target'], ...cells];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0))) ?? [];
  const lines = all.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return lines.join('\n');
}

export function writeJson(file: string, rows: readonly Row[]): void {
  const report = { measured_at: new Date().toISOString(), machine: machineFacts(), rows };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}
