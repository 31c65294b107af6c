/** What the naive pipeline's two processes share. */
import { packSummary } from '#domain/summary.ts';
import { connectRedis, untilReady } from '#store/redis.ts';
import type { ResultMessage } from '#store/child-store.ts';
import { resultRequest } from '#wire/child.ts';

export async function sharedConnection() {
  const client = connectRedis(process.env['REDIS_URL'] ?? '', 'work', () => {});
  await untilReady(client);
  return client;
}

/** From a result's body to the message that the Lua takes. The stages are those of bench/lib/release.ts. */
export function messageOf(body: unknown, stages: readonly string[]): ResultMessage & { release: string } {
  const { id, release, reports } = resultRequest.parse(body);
  return {
    id,
    release,
    at: Date.now(),
    attempt: 1,
    reports: reports.map(({ stage, status, next, summary }) => ({
      stage: stages.indexOf(stage ?? ''),
      status,
      next: next ? stages.indexOf(next) : null,
      digest: '0123456789ab',
      summary: packSummary(summary),
    })),
  };
}
