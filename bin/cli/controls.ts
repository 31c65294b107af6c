/** What operators may do to a release that was started, as commands: each prints the release as it is then. */
import { type Command as Program, Option } from 'commander';
import { PRESET_NAMES } from '#domain/plan/presets.ts';
import type { PreviewView, ReleaseView } from '#wire/operator/responses.ts';
import { planBody } from '../text/plan-body.ts';
import type { Client } from './client.ts';
import { renderPreview } from './render-preview.ts';
import { renderRelease } from './render.ts';

const VERSION = 'do it only if the release is still at this version';
const REASON = 'why, for people who read it later';

type Options = Record<string, string | number | boolean | undefined>;
type Flags = readonly [flags: string, what: string];

/** `releasePath`: of a release's id, checked. */
type Controls = { program: Program; client: () => Client; releasePath: (id: string) => string };

export function addControls(program: Program, client: () => Client, releasePath: (id: string) => string): void {
  const controls = { program, client, releasePath };
  addStart(controls);
  addPlan(controls);
  add(controls, 'pause', 'pause a release: no gate opens, nobody more gets it', [['--reason <text>', REASON]]);
  add(controls, 'resume', 'go on after a pause or a halt, or where a location is held', [
    ['--location <id>', 'go on in this location, which is held'],
  ]);
  add(controls, 'promote', 'approve what waits for approval, or end a stage now', [
    ['--location <id>', 'only in this location'],
    ['--stage <name>', 'this stage'],
    ['--wave', 'the next wave'],
    ['--now', 'end the stage for children that wait in it, or come to wait, though its conditions do not hold'],
    ['--child <id>', 'end the stage for this one child'],
    ['--confirm', 'though the child is InProgress: it rolls out code that it has not tried'],
  ]);
  add(controls, 'abort', 'abort a release, or one location: nobody more gets it', [
    ['--location <id>', 'only this location, which is open'],
    ['--reason <text>', REASON],
  ]);
  addForChildren(controls);
  add(
    controls,
    'revert',
    'take a release back, or one location of it: children that are Done get the version from before',
    [
      ['--location <id>', 'only this location'],
      ['--open-gates', 'open the gates of stages that children wait in, so that these children can be reached'],
      ['--reason <text>', REASON],
    ],
  ).addOption(new Option('--release-held').hideHelp());
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

async function act({ client, releasePath }: Controls, id: string, control: string, body: object): Promise<void> {
  print(renderRelease((await client().call<ReleaseView>('POST', `${releasePath(id)}/${control}`, body)).body));
}

/** A command that posts its options, under their names in the API. */
function add(controls: Controls, name: string, description: string, options: readonly Flags[]): Program {
  const made = controls.program.command(`${name} <id>`).description(description);
  for (const [flags, what] of options) made.option(flags, what);
  made.option('--if-version <n>', VERSION);
  return made.action((id: string, given: Options) => act(controls, id, name, bodyOf(given)));
}

function addStart(controls: Controls): void {
  controls.program
    .command('start <id>')
    .description('start a release')
    .option('--plan <name or file>', `how it spreads: ${PRESET_NAMES.join(', ')}, or a YAML file`)
    .option('--if-version <n>', VERSION)
    .action(async (id: string, { plan, ifVersion }: { plan?: string; ifVersion?: string }) =>
      act(controls, id, 'start', { ...(await planBody(plan)), ...versionBody(ifVersion) }),
    );
}

function addPlan({ program, client, releasePath }: Controls): void {
  program
    .command('plan <id>')
    .description('show what a start would do: who gets it, in which order, when at the earliest; nothing is changed')
    .option('--plan <name or file>', `instead of the one in its file: ${PRESET_NAMES.join(', ')}, or a YAML file`)
    .action(async (id: string, { plan }: { plan?: string }) => {
      const { body } = await client().call<PreviewView>('POST', `${releasePath(id)}/preview`, await planBody(plan));
      print(renderPreview(id, body));
      if (body.faults.length > 0 || (body.conflicts.length > 0 && body.plan?.['conflicts'] !== 'allow'))
        process.exitCode = FAULTY;
    });
}

/** Controls of single children and locations, which are named behind the release. */
function addForChildren(controls: Controls): void {
  const { program } = controls;
  program
    .command('retry <id> [children...]')
    .description('offer it again to children that failed or are lost: those named, or all of them')
    .option('--location <id>', 'only those of this location')
    .option('--if-version <n>', VERSION)
    .action((id: string, children: string[], given: Options) =>
      act(controls, id, 'retry', { ...(children.length > 0 ? { children } : {}), ...bodyOf(given) }),
    );
  program
    .command('skip <id> <location>')
    .description('leave a location out')
    .option('--reason <text>', REASON)
    .option('--if-version <n>', VERSION)
    .action((id: string, location: string, given: Options) =>
      act(controls, id, 'skip', { location, ...bodyOf(given) }),
    );
  program
    .command('eject <id> <child>')
    .description('take a child out of a release')
    .option('--if-version <n>', VERSION)
    .action((id: string, child: string, given: Options) => act(controls, id, 'eject', { child, ...bodyOf(given) }));
}

const FAULTY = 1;

function bodyOf({ ifVersion, openGates, releaseHeld, ...rest }: Options): object {
  if (releaseHeld !== undefined) throw new Error('--release-held is called --open-gates now: use that');
  return {
    ...rest,
    ...(openGates === undefined ? {} : { open_gates: openGates }),
    ...versionBody(ifVersion as string | undefined),
  };
}

function versionBody(given: string | undefined): { version?: number } {
  if (given === undefined) return {};
  if (!/^\d{1,15}$/.test(given)) throw new Error(`--if-version: "${given}" is no whole number`);
  return { version: Number(given) };
}
