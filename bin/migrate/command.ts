/** `choir migrate`: works on the data itself, while no manager runs. */
import type { Command } from 'commander';
import { MIGRATED_SCHEMA, SCHEMA } from '#store/layout/schema.ts';
import type { OpenEmbedded } from '../offline/open-data.ts';

/** `openEmbedded`: for data without REDIS_URL. */
export const addMigrate =
  (openEmbedded: OpenEmbedded) =>
  (program: Command): void =>
    void program
      .command('migrate')
      .description(
        `turn a stopped manager's data (REDIS_URL, or DATA_DIR) from schema ${MIGRATED_SCHEMA} into schema ${SCHEMA}, which this version needs`,
      )
      .addHelpText(
        'after',
        '\nStop all of its processes first: it is refused while one runs. Nothing is lost: messages and jobs that wait are kept.' +
          '\nInterrupted or killed, it goes on when it is run again; no manager starts in between. There is no way back: keep a copy' +
          '\nof the data until the new version has run.',
      )
      .action(async () => {
        // Loaded here: the store and its queues take longer to load than most commands take to run.
        const { runMigrate } = await import('./run.ts');
        await runMigrate(openEmbedded);
      });
