/** The one composition root of `choir repartition`. */
import { type OpenEmbedded, openData, say } from '../offline/open-data.ts';
import { repartition } from './repartition.ts';

const EVERY_MS = 1_000;

export async function runRepartition(to: number, openEmbedded: OpenEmbedded): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { client, keyPrefix, isInterrupted } = await openData('repartition', openEmbedded, stack);
  let last = -Infinity;
  let said = -1;
  await repartition(client, keyPrefix, to, {
    say,
    moved(children, of) {
      if (isInterrupted()) throw new Error(`interrupted: run "choir repartition ${to}" again to go on`);
      if (children === said || performance.now() - last < EVERY_MS) return;
      last = performance.now();
      said = children;
      say(`moved ${children} of ${of} children`);
    },
  });
}
