/** What operators may do to a release that was started, as commands: each prints the release as it is then. */
import { readFile } from 'node:fs/promises';
import type { Command as Program } from 'commander';
import { parse } from 'yaml';
import { PRESET_NAMES } from '#domain/plan.ts';
import type { PreviewView, ReleaseView } from '#wire/operator.ts';
import type { Client } from './client.ts';
import { renderPreview } from './preview.ts';
import { renderRelease } from './render.ts';

const VERSION = 'do it only if the release is still at this version';
const REASON = 'why, for whoever looks later';

type Options = Record<string, string | number | boolean | undefined>;

export function addControls(program: Program, client: () => Client, releasePath: (id: string) => string): void {
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  const act = async (id: string, control: string, body: object): Promise<void> =>
    print(renderRelease((await client().call<ReleaseView>('POST', `${releasePath(id)}/${control}`, body)).body));

  /** A command that posts its options, under their names in the API. */
  const command = (name: string, description: string, options: readonly [flags: string, what: string][]): Program => {
    const made = program.command(`${name} <id>`).description(description);
    for (const [flags, what] of options) made.option(flags, what);
    made.option('--if-version <n>', VERSION);
    return made.action((id: string, given: Options) => act(id, name, bodyOf(given)));
  };

  program
    .command('start <id>')
    .description('start a release')
    .option('--plan <name or file>', `how it spreads: ${PRESET_NAMES.join(', ')}, or a YAML file`)
    .option('--if-version <n>', VERSION)
    .action(async (id: string, { plan, ifVersion }: { plan?: string; ifVersion?: string }) =>
      act(id, 'start', { ...(await planBody(plan)), ...versionBody(ifVersion) }),
    );

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

  command('pause', 'pause a release: no gate opens, nobody more gets it', [['--reason <text>', REASON]]);
  command('resume', 'go on after a pause or a halt, or where a location is held', [
    ['--location <id>', 'go on in this location, which is held'],
  ]);
  command('promote', 'approve what waits for approval, or end a stage now', [
    ['--location <id>', 'only in this location'],
    ['--stage <name>', 'this stage'],
    ['--wave', 'the next wave'],
    ['--now', 'end the stage for those who wait in it, and who come to wait, though its conditions do not hold'],
    ['--child <id>', 'end the stage for this one child'],
    ['--confirm', 'though the child is InProgress: it rolls out code that it has not tried'],
  ]);
  command('abort', 'abort a release, or one location: nobody more gets it', [
    ['--location <id>', 'only this location, which is open'],
    ['--reason <text>', REASON],
  ]);
  program
    .command('retry <id> [children...]')
    .description('offer it again to children that failed or are lost: those named, or all of them')
    .option('--location <id>', 'only those of this location')
    .option('--if-version <n>', VERSION)
    .action((id: string, children: string[], given: Options) =>
      act(id, 'retry', { ...(children.length > 0 ? { children } : {}), ...bodyOf(given) }),
    );
  program
    .command('skip <id> <location>')
    .description('leave a location out')
    .option('--reason <text>', REASON)
    .option('--if-version <n>', VERSION)
    .action((id: string, location: string, given: Options) => act(id, 'skip', { location, ...bodyOf(given) }));
  program
    .command('eject <id> <child>')
    .description('take a child out of a release')
    .option('--if-version <n>', VERSION)
    .action((id: string, child: string, given: Options) => act(id, 'eject', { child, ...bodyOf(given) }));
  command('revert', 'take a release back, or one location of it: children that are Done get the version from before', [
    ['--location <id>', 'only this location'],
    ['--release-held', 'let children that are held in a stage through, so that they can be reached'],
    ['--reason <text>', REASON],
  ]);
}

const FAULTY = 1;

function bodyOf({ ifVersion, releaseHeld, ...rest }: Options): object {
  return {
    ...rest,
    ...(releaseHeld === undefined ? {} : { release_held: releaseHeld }),
    ...versionBody(ifVersion as string | undefined),
  };
}

function versionBody(given: string | undefined): { version?: number } {
  if (given === undefined) return {};
  if (!/^\d{1,15}$/.test(given)) throw new Error(`--if-version: "${given}" is no whole number`);
  return { version: Number(given) };
}

/** A preset's name, or else a YAML file: the plan itself, or a mapping with the plan under `plan`, such as release.yml. */
export async function planBody(given: string | undefined): Promise<{ plan?: unknown }> {
  if (given === undefined) return {};
  if ((PRESET_NAMES as readonly string[]).includes(given)) return { plan: given };
  let text: string;
  try {
    text = await readFile(given, 'utf8');
  } catch {
    throw new Error(`--plan: "${given}" is neither a file nor one of ${PRESET_NAMES.join(', ')}`);
  }
  const content: unknown = parse(text);
  const isHolder = typeof content === 'object' && content !== null && 'plan' in content;
  return { plan: isHolder ? content.plan : content };
}
