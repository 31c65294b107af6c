/** The one composition root of `choir migrate`. */
import { type OpenEmbedded, openData, say } from '../offline/open-data.ts';
import { migrate } from './migrate.ts';

export async function runMigrate(openEmbedded: OpenEmbedded): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { client, keyPrefix, isInterrupted } = await openData('migrate', openEmbedded, stack);
  await migrate(client, keyPrefix, {
    say,
    step() {
      if (isInterrupted()) throw new Error('interrupted: run "choir migrate" again to go on');
    },
  });
}
