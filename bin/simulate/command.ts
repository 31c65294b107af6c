/** `choir simulate`: a fleet to try a release on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { createLogUpdate } from 'log-update';
import { type FleetStats, startFleet } from './fleet.ts';
import { type Area, BERLIN, parseArea } from './areas.ts';

const EVERY_MS = 500;
const EXIT_UNREACHABLE = 3;

type Options = {
  children: number;
  area: Area;
  factor: number;
  seed: number;
  poll: number;
  obey?: boolean;
  errorRate?: number;
  fail: number;
  failLate: number;
  silent: number;
  restart: number;
  drop: number;
  seconds?: number;
};

export function addSimulate(program: Command, url: () => string): void {
  program
    .command('simulate')
    .description('play a fleet of children that behave as the reference agent does, until Ctrl-C')
    .option('--children <n>', 'how many', whole(1, 1_000_000), 200)
    .option('--area <lon,lat,km>', 'scattered over a circle (Berlin by default)', area, BERLIN)
    .option('--factor <x>', "how many times faster than real children's time theirs runs", number(0.01, 10_000), 1)
    .option('--seed <n>', 'the same seed gives the same fleet', whole(0, 2 ** 32), 1)
    .option('--poll <s>', 'seconds between polls, of their time', number(0.01, 86_400), 3)
    .option('--obey', 'wait as long as the manager asks (Retry-After), instead of at their own pace')
    .option('--error-rate <share>', 'median error rate of the new version, 0 to 1', number(0, 1))
    .option('--fail <n>', 'so many report Failure in the first stage', whole(0, 1e6), 0)
    .option('--fail-late <n>', 'so many report Failure at the end of the last stage', whole(0, 1e6), 0)
    .option('--silent <n>', 'so many fall silent in the first stage', whole(0, 1e6), 0)
    .option('--restart <n>', 'so many restart under a new id in the first stage', whole(0, 1e6), 0)
    .option('--drop <n>', 'so many drop the release and poll again', whole(0, 1e6), 0)
    .option('--seconds <n>', 'stop after so many seconds', number(0, 1e6))
    .action((options: Options) => simulate(url(), options));
}

async function simulate(url: string, options: Options): Promise<void> {
  const { fail, failLate, silent, restart, drop, poll, ...rest } = options;
  if (fail + failLate + silent + restart + drop > options.children)
    throw new Error('more children are to go wrong than there are');
  const fleet = startFleet({
    ...rest,
    url,
    pollMs: poll * 1000,
    faults: { fail, 'fail-late': failLate, silent, restart, drop },
  });
  const live = process.stdout.isTTY ? createLogUpdate(process.stdout) : null;
  let stopping = false;
  const stop = (): void => {
    stopping = true;
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const end = performance.now() + (options.seconds ?? Infinity) * 1000;
  while (!stopping && performance.now() < end) {
    live?.(renderFleet(fleet.stats(), options.children));
    await sleep(EVERY_MS);
  }
  live?.done();
  process.stdout.write(`${renderFleet(fleet.stats(), options.children)}\n`);
  const { answered } = fleet.stats();
  await fleet.stop();
  if (answered === 0) {
    process.stderr.write(`no manager answered at ${url}\n`);
    process.exitCode = EXIT_UNREACHABLE;
  }
}

export function renderFleet({ states, requests, bad, ended, versions }: FleetStats, children: number): string {
  const parts = Object.entries(states).flatMap(([state, n]) => (n > 0 ? [`${n} ${state}`] : []));
  const why = ended.length > 0 ? `\n  ended: ${[...new Set(ended)].slice(0, 5).join('; ')}` : '';
  const runs = Object.entries(versions).map(([version, n]) => `${n} run ${version}`);
  const deployed = runs.length > 0 ? `\n  ended a release: ${runs.join(', ')}` : '';
  return `${children} children: ${parts.join(', ')}${deployed}\n  ${requests} requests, ${bad} of them refused or broken${why}`;
}

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= min && value <= max))
      throw new InvalidArgumentError(`it is no number from ${min} to ${max}`);
    return value;
  };
}

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = number(min, max)(text);
    if (!Number.isInteger(value)) throw new InvalidArgumentError('it is no whole number');
    return value;
  };
}

function area(text: string): Area {
  const parsed = parseArea(text);
  if (parsed === null) throw new InvalidArgumentError('it is longitude,latitude,radius in km');
  return parsed;
}
