/** What the naive pipeline's two processes share. */
import type { ResultMessage } from '#domain/child/messages.ts';
import { NO_NEXT } from '#domain/child/report.ts';
import { untilReady } from '#store/connection/client.ts';
import { packSummary } from '#domain/child/summary.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { resultRequest } from '#wire/child/requests.ts';

export async function sharedConnection() {
  const client = connectRedis(process.env['REDIS_URL'] ?? '', 'work', () => {});
  await untilReady(client);
  return client;
}

/** From a result's body to the message that the Lua takes. The stages are those of bench/lib/release.ts. */
export function messageOf(body: unknown, stages: readonly string[]): Omit<ResultMessage, 'shortId'> {
  const { id, release, reports } = resultRequest.parse(body);
  return {
    kind: 'result',
    id,
    release,
    at: Date.now(),
    attempt: 1,
    reports: reports.map(({ stage, status, next, summary }) => ({
      stage: stages.indexOf(stage ?? ''),
      status,
      next: next ? stages.indexOf(next) : NO_NEXT,
      digest: '0123456789ab',
      summary: packSummary(summary),
    })),
  };
}
