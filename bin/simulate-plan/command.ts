/** `choir simulate-plan`: the course that a plan would take over a fleet that is made up, on a clock that jumps. No manager is needed. */
import { PRESET_NAMES } from '#domain/plan/presets.ts';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command as Program, InvalidArgumentError, Option } from 'commander';
import { parseGoDuration } from '#domain/duration.ts';
import { geoFaults } from '#domain/geo/faults.ts';
import { seededRandom } from '#simulation/chance.ts';
import type { Share } from '#simulation/fates.ts';
import type { SimulatedStage } from '#simulation/flow.ts';
import { type SimulateOptions, simulatePlan } from '#simulation/simulate.ts';
import { simulatedStagesOf } from '#simulation/stages.ts';
import type { LocationSize } from '#simulation/turns.ts';
import { type Plan } from '#domain/plan/plan.ts';
import { planStageFaults } from '#domain/plan/check.ts';
import type { Strategy } from '#domain/strategy/strategy.ts';
import { readPlan } from '#wire/plan/read-plan.ts';
import { readReleaseFile } from '#wire/release/release-file.ts';
import { planBody } from '../text/plan-body.ts';
import { renderFindings } from '../text/tables.ts';
import { renderSimulation } from './render.ts';

type Options = {
  plan?: string;
  release?: string;
  children?: number;
  locations?: number;
  sizes?: number[];
  fail: Given[];
  lost: Given[];
  returns?: number;
  late: number;
  poll: number;
  jitter: number;
  approve?: number;
  bundle: number;
  seed: number;
  until: number;
  json?: boolean;
};

const DEFAULT_PLAN = 'waves';
const CHILDREN = 1000;
const LOCATIONS = 12;
const MAX_CHILDREN = 100_000_000;
const MAX_LOCATIONS = 1_000_000;
const HOUR_MS = 3_600_000;
const ASK_MS = 1_000;
/** As in the examples. */
const STAGES: readonly SimulatedStage[] = [
  { name: 'Canary', type: 'WaitForSignal', minDurationMs: 10_000 },
  { name: 'A/B Test', type: 'A/B', minDurationMs: 20_000 },
  { name: 'Gradual', type: 'WaitForSignal', minDurationMs: 15_000 },
];

export function addSimulatePlan(program: Program): void {
  program
    .command('simulate-plan')
    .description('show the course that a plan would take over a fleet that is made up; no manager is needed')
    .option(
      '--plan <name or file>',
      `${PRESET_NAMES.join(', ')}, or a YAML file (default: the release's, or ${DEFAULT_PLAN})`,
    )
    .option(
      '--release <folder or file>',
      'whose stages are run, each as long as its minDuration (default: 10s, 20s and 15s)',
    )
    .option('--children <n>', `how many (default: ${CHILDREN})`, whole(1, MAX_CHILDREN))
    .option(
      '--locations <n>',
      `l1, l2, …, of the same size (default: ${LOCATIONS}, or the regions of the plan)`,
      whole(1, MAX_LOCATIONS),
    )
    .option('--sizes <n,n,…>', 'of the locations, instead of both', sizes)
    .addOption(
      shown('--fail <share>', 'children that report Failure: 1%, or l3=5% in one location; may be repeated', oneMore, [
        [],
        'none',
      ]),
    )
    .addOption(shown('--lost <share>', 'children that fall silent, given in the same way', oneMore, [[], 'none']))
    .option('--returns <duration>', 'after which a child that fell silent is back (default: never)', duration)
    .option('--late <n>', 'so many more join within the first hour', whole(0, MAX_CHILDREN), 0)
    .addOption(shown('--poll <duration>', 'between two polls of a child', duration, [3_000, '3s']))
    .addOption(shown('--jitter <share>', 'a stage takes up to so much longer than its minimum', percent, [0.1, '10%']))
    .option('--approve <duration>', 'an operator approves so long after it is waited for (default: never)', duration)
    .option('--bundle <bytes>', 'size of the functions, for rates in bytes', whole(0, 1e12), 1_000_000)
    .option('--seed <n>', 'the same seed gives the same course', whole(0, 2 ** 32 - 1), 1)
    .addOption(shown('--until <duration>', 'of virtual time, at most', duration, [30 * 24 * HOUR_MS, '720h']))
    .option('--json', 'print it as JSON')
    .action(run);
}

/** An option whose default reads as it would be typed. */
const shown = <T>(
  flags: string,
  what: string,
  read: (text: string, before: T) => T,
  [value, text]: readonly [T, string],
): Option => new Option(flags, what).argParser(read).default(value, text);

async function run(options: Options): Promise<void> {
  const { release, plan, stages } = await planAndStages(options);
  const locations = locationsOf(plan, options);
  const simulated: SimulateOptions = {
    plan,
    stages,
    locations,
    behaviour: {
      pollMs: options.poll,
      askMs: Math.min(ASK_MS, options.poll),
      jitter: options.jitter,
      fail: shareOf('--fail', options.fail, locations),
      lost: shareOf('--lost', options.lost, locations),
      slow: { all: 0 },
      slowFactor: 1,
      returnsAfterMs: options.returns ?? null,
    },
    lateJoiners: { children: options.late, withinMs: HOUR_MS },
    random: seededRandom(options.seed),
    bundleBytes: release ?? options.bundle,
    approveAfterMs: options.approve ?? null,
    untilMs: options.until,
  };
  const start = performance.now();
  const simulation = simulatePlan(simulated);
  const seconds = (performance.now() - start) / 1000;
  const { behaviour } = simulated;
  const text =
    options.json === true
      ? JSON.stringify({ plan: plan.name, stages, locations, behaviour, seed: options.seed, ...simulation, seconds })
      : renderSimulation(simulated, simulation, seconds);
  process.stdout.write(`${text}\n`);
}

/** The plan and the stages; `release`: the size of its functions, where they are packed. */
async function planAndStages(
  options: Options,
): Promise<{ release: number | null; plan: Plan; stages: readonly SimulatedStage[] }> {
  const release = options.release === undefined ? null : await readRelease(options.release);
  const also = release === null ? () => [] : (plan: Plan) => planStageFaults(plan, release.strategy);
  const named = options.plan ?? (release?.plan === undefined ? DEFAULT_PLAN : undefined);
  if (named === undefined && release?.plan !== undefined)
    return { release: release.bytes, plan: release.plan, stages: simulatedStagesOf(release.strategy) };
  const body = await planBody(named);
  const { plan, faults } = readPlan(body.plan, (read) => [...geoFaults(read), ...also(read)]);
  if (plan === null) throw new Error(`${named} is no plan:\n${renderFindings('fault', faults)}`);
  return {
    release: release?.bytes ?? null,
    plan,
    stages: release === null ? STAGES : simulatedStagesOf(release.strategy),
  };
}

async function readRelease(
  path: string,
): Promise<{ strategy: Strategy; plan: Plan | undefined; bytes: number | null }> {
  const names = [path, join(path, 'release.yml'), join(path, 'release.yaml')];
  const files = await Promise.all(names.map(async (name) => existsSync(name) && (await stat(name)).isFile()));
  const file = names.find((_, i) => files[i] === true);
  if (file === undefined) throw new Error(`--release: "${path}" is neither a release.yml nor a folder that holds one`);
  const read = readReleaseFile(await readFile(file));
  if (read.file === null || read.faults.length > 0)
    throw new Error(`${file} can't be published:\n${renderFindings('fault', read.faults)}`);
  const packed = join(path, 'fns.zip');
  return { ...read.file, bytes: existsSync(packed) ? (await stat(packed)).size : null };
}

/** In the order of the plan, as far as it is one of sizes; otherwise as they are given. */
function locationsOf(plan: Plan, { children, locations, sizes: given }: Options): LocationSize[] {
  if (given !== undefined && (children !== undefined || locations !== undefined))
    throw new Error('--sizes says how many children and locations there are: leave --children and --locations out');
  const { locations: by } = plan;
  const regions = by.by === 'regions' ? by.regions.map(({ name }) => name) : [];
  const usual = by.by === 'child' || by.by === 'all' ? 1 : regions.length > 0 ? regions.length : LOCATIONS;
  const count = given?.length ?? locations ?? usual;
  const all = children ?? CHILDREN;
  const equal = (i: number): number => Math.floor(all / count) + (count - i <= all % count ? 1 : 0);
  const named = Array.from({ length: count }, (_, i) => ({
    id: regions.length === count ? (regions[i] ?? '') : `l${i + 1}`,
    children: given?.[i] ?? equal(i),
  }));
  return plan.order.by === 'size' ? named.sort((a, b) => a.children - b.children) : named;
}

type Given = { location: string | null; share: number };

function shareOf(option: string, all: readonly Given[], locations: readonly LocationSize[]): Share {
  const known = new Set(locations.map(({ id }) => id));
  const own: Record<string, number> = {};
  let share = 0;
  for (const { location, share: value } of all) {
    if (location === null) share = value;
    else if (known.has(location)) own[location] = value;
    else throw new Error(`${option}: there is no location "${location}": they are ${namesOf(locations)}`);
  }
  return { all: share, locations: own };
}

const namesOf = (locations: readonly LocationSize[]): string =>
  locations.length > 12
    ? `${locations[0]?.id}, ${locations[1]?.id}, … ${locations.at(-1)?.id}`
    : locations.map(({ id }) => id).join(', ');

function percent(text: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const value = Number(match?.[1]);
  if (match === null || value > 100) throw new InvalidArgumentError('it is no share such as 1% or 0.5%');
  return value / 100;
}

function oneMore(text: string, before: readonly Given[]): Given[] {
  const [, location, value = ''] = /^(?:(.+)=)?([^=]*)$/.exec(text) ?? [];
  return [...before, { location: location ?? null, share: percent(value) }];
}

/** As Go writes them, and in days. */
function duration(text: string): number {
  const days = /^(\d+)d$/.exec(text);
  const ms = days === null ? parseGoDuration(text) : Number(days[1]) * 24 * HOUR_MS;
  if (ms === null || ms < 0) throw new InvalidArgumentError('it is no duration such as 10s, 1h30m or 30d');
  return ms;
}

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`it is no whole number from ${min} to ${max}`);
    return value;
  };
}

function sizes(text: string): number[] {
  return text.split(',').map(whole(0, MAX_CHILDREN));
}
