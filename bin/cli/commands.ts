/** `choir`: what operators type. It knows the operator API and nothing else of the manager. */
import type { ReleaseChildView } from '#wire/operator/responses.ts';
import { type Command as Program, Command, CommanderError, InvalidArgumentError } from 'commander';
import { readReleaseFolder } from '#bundle/release-folder.ts';
import { RELEASE_ID } from '#domain/ids.ts';
import { cliEnvironment } from '#runtime/config.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';
import type { Problem } from '#wire/operator/problem.ts';
import { type Client, createClient, Refused, releaseForm, Unreachable } from './client.ts';
import { addControls } from './controls.ts';
import { renderFindings, table } from '../text/tables.ts';
import { renderRelease } from './render.ts';
import { WATCH_EXIT, watchRelease } from './watch.ts';

const EXIT_REFUSED = 4;
const PAGE = 1000;

type Page<T> = { items: T[]; next: string | null };
type FleetChild = {
  id: string;
  number_of_children: number;
  first_seen: string;
  last_seen: string;
  release: string | null;
};
type ReleaseItem = Pick<ReleaseView, 'id' | 'name' | 'state' | 'plan' | 'published_at'>;

/** Checked here: an id such as `..` would lead to another address. */
function releasePath(id: string): string {
  if (!RELEASE_ID.test(id))
    throw new Error(`"${id}" is no release id: 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..`);
  return `/releases/${id}`;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

function createProgram(client: () => Client): Program {
  const program = new Command('choir')
    .description('Talks to an Umbilical Choir release manager')
    .addHelpText(
      'after',
      '\nCHOIR_URL names the manager (http://127.0.0.1:9998 by default), CHOIR_TOKEN its operator token (by default the one in DATA_DIR).',
    );
  program.exitOverride();
  const show = async (method: string, path: string, body?: object): Promise<void> =>
    print(renderRelease((await client().call<ReleaseView>(method, path, body)).body));

  program
    .command('publish <dir>')
    .description('publish a folder: release.yml with fns.zip or fns/')
    .action(async (dir: string) => {
      const form = releaseForm(await readReleaseFolder(dir));
      const { status, body } = await client().call<{ id: string; warnings: { path: string; message: string }[] }>(
        'POST',
        '/releases',
        form,
      );
      if (body.warnings.length > 0) process.stderr.write(`${renderFindings('warning', body.warnings)}\n`);
      print(status === 201 ? `published ${body.id}` : `${body.id} was published before, with the same bytes`);
    });

  program
    .command('list')
    .description('list all releases')
    .action(async () => {
      const rows = [['ID', 'NAME', 'STATE', 'PLAN', 'PUBLISHED']];
      for await (const item of pages<ReleaseItem>(client(), '/releases'))
        rows.push([item.id, item.name, item.state, item.plan.name, item.published_at]);
      print(table(rows));
    });

  program
    .command('status <id>')
    .description('show a release, its progress and why it waits')
    .action((id: string) => show('GET', releasePath(id)));

  program
    .command('watch <id>')
    .description(
      'follow a release to its end; exits 0 completed, 1 halted, 2 aborted, 5 reverted, 3 unreachable (4: any other error)',
    )
    .action(async (id: string) => {
      process.exitCode = await watchRelease(client(), releasePath(id), process.stdout);
    });

  addControls(program, client, releasePath);

  program
    .command('children [release]')
    .description('list the fleet, or the children of a release')
    .option('--status <name>', 'only children with this release status: Todo, Doing, Done or Failed')
    .option('--limit <n>', 'at most so many', wholeNumber, 100)
    .action(async (release: string | undefined, { status, limit }: { status?: string; limit: number }) => {
      if (release === undefined) return printFleet(client(), limit);
      const query = status === undefined ? '' : `?status=${encodeURIComponent(status)}`;
      return printReleaseChildren(client(), `${releasePath(release)}/children${query}`, limit);
    });

  return program;
}

async function printFleet(client: Client, limit: number): Promise<void> {
  const head = ['ID', 'CHILDREN', 'FIRST SEEN', 'LAST SEEN', 'RUNS'];
  const rowOf = (child: FleetChild): string[] => [
    child.id,
    String(child.number_of_children),
    child.first_seen,
    child.last_seen,
    child.release ?? '-',
  ];
  await printFirst(pages<FleetChild>(client, '/children', limit + 1), limit, head, rowOf);
}

async function printReleaseChildren(client: Client, path: string, limit: number): Promise<void> {
  const rowOf = (child: ReleaseChildView): string[] => [
    child.id,
    child.left_release ? `${child.release_status} (left)` : child.release_status,
    child.stages.map((stage) => `${stage.name}: ${stage.status}`).join(', '),
  ];
  await printFirst(pages<ReleaseChildView>(client, path, limit + 1), limit, ['ID', 'STATUS', 'STAGES'], rowOf);
}

/**
 * A table of the first items of a list. That there are more is said on standard error: scripts read the other one. `items`: one
 * more than is shown, which tells whether there are more, as a list's last page may have a page behind it that is empty.
 */
async function printFirst<T>(
  items: AsyncIterable<T>,
  limit: number,
  head: string[],
  rowOf: (item: T) => string[],
): Promise<void> {
  const rows: string[][] = [];
  for await (const item of items) rows.push(rowOf(item));
  print(table([head, ...rows.slice(0, limit)]));
  if (rows.length > limit) process.stderr.write(`… the first ${limit}; --limit n shows more\n`);
}

/** All items of a list, page by page; one that stands on two pages is given once. */
async function* pages<T extends { id: string }>(client: Client, path: string, limit = Infinity): AsyncGenerator<T> {
  const seen = new Set<string>();
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(limit, PAGE)), ...(cursor === null ? {} : { cursor }) });
    const { body }: { body: Page<T> } = await client.call<Page<T>>(
      'GET',
      `${path}${path.includes('?') ? '&' : '?'}${query.toString()}`,
    );
    for (const item of body.items) {
      if (seen.has(item.id)) continue;
      if (seen.size >= limit) return;
      seen.add(item.id);
      yield item;
    }
    cursor = body.next;
  } while (cursor !== null);
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('it is no whole number');
  return Number(text);
}

/** A command of another client, to be run by the same program. */
export type AddCommand = (program: Program, url: () => string) => void;

/** Runs a command line; errors are sentences on standard error, and the exit code tells them apart. */
export async function runProgram(argv: readonly string[], more: readonly AddCommand[]): Promise<void> {
  // A reader of the first lines only has read enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  try {
    const program = createProgram(() => createClient(cliEnvironment()));
    for (const add of more) add(program, () => cliEnvironment().url);
    await program.parseAsync(argv);
  } catch (error) {
    // It has printed what is wrong, or the help that was asked for.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_REFUSED;
      return;
    }
    process.exitCode = error instanceof Unreachable ? WATCH_EXIT.unreachable : EXIT_REFUSED;
    process.stderr.write(`${error instanceof Refused ? refusal(error.problem) : (error as Error).message}\n`);
  }
}

function refusal({ title, detail, errors }: Problem): string {
  const head = `${title}: ${detail}`;
  return errors === undefined ? head : `${head}\n${renderFindings('fault', errors)}`;
}
