/** `choir repartition`: works on the data itself, while no manager runs. */
import { type Command, InvalidArgumentError } from 'commander';
import type { OpenEmbedded } from '../offline/open-data.ts';

const MAX = 1024;

/** `openEmbedded`: for data without REDIS_URL. */
export const addRepartition =
  (openEmbedded: OpenEmbedded) =>
  (program: Command): void =>
    void program
      .command('repartition')
      .argument('<n>', `how many partitions there are to be, from 1 to ${MAX}`, partitions)
      .description("change the number of partitions of a stopped manager's data (REDIS_URL, or DATA_DIR)")
      .addHelpText(
        'after',
        '\nStop all of its processes first: it is refused while one runs, while messages wait to be applied and while a release' +
          '\nis enrolling. Interrupted or killed, it goes on when it is run again; no manager starts in between.',
      )
      .action(async (n: number) => {
        // Loaded here: the store and its queues take longer to load than most commands take to run.
        const { runRepartition } = await import('./run.ts');
        await runRepartition(n, openEmbedded);
      });

function partitions(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < 1 || n > MAX) throw new InvalidArgumentError(`it is no whole number from 1 to ${MAX}`);
  return n;
}
