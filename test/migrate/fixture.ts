/** The data of version 0.1.0, in a Redis of the test's own, and what that version answered on it. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { startRedis } from '#test/harness/redis/redis.ts';
import type { ChildView, ReleaseChildView } from '#wire/operator/responses.ts';
import { type Client, untilReady } from '#store/connection/client.ts';
import { connectRedis } from '#store/connection/redis.ts';

/** Its times are old: nothing of it is to be forgotten. */
export const SETTINGS = {
  PARTITIONS: '',
  SEEN_PRECISION: '1s',
  FRESH_FOR: '5m',
  FORGET_AFTER: '36500d',
  KEEP_RELEASES: '36500d',
};

export type Answers = {
  list: { id: string }[];
  releases: Record<string, Record<string, unknown>>;
  releaseChildren: Record<string, ReleaseChildView[]>;
  children: ChildView[];
  deadLetters: unknown[];
};
export type ChildAnswers = {
  endStage: Record<string, Record<string, Record<string, boolean | number>>>;
  newRelease: Record<string, string>;
};

const unpacked = (name: string): Buffer =>
  gunzipSync(readFileSync(new URL(`../fixtures/schema-4/${name}.gz`, import.meta.url)));

export const operatorAnswers = (): Answers => JSON.parse(unpacked('operator-answers.json').toString()) as Answers;
export const childAnswers = (): ChildAnswers => JSON.parse(unpacked('child-answers.json').toString()) as ChildAnswers;

const THE_END = 'all is written';

/** Writes the commands as they are, and waits until the last of them is answered. */
async function replay(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  const end = `*2\r\n$4\r\nECHO\r\n$${THE_END.length}\r\n${THE_END}\r\n`;
  socket.write(unpacked('data.resp'));
  socket.write(end);
  let replies = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    replies += chunk.toString('latin1');
    if (replies.endsWith(`${THE_END}\r\n`)) break;
  }
  socket.destroy();
  const errors = replies.split('\r\n').filter((line) => line.startsWith('-'));
  if (errors.length > 0) throw new Error(`Redis refused: ${errors[0]}`);
}

export async function openOldData(stack: AsyncDisposableStack) {
  const redis = await startRedis(stack);
  await replay(Number(new URL(redis.url).port));
  const client = connectRedis(redis.url, 'work', () => {});
  stack.defer(() => client.disconnect());
  await untilReady(client);
  return { redis, client };
}

/** Every key of the data, with its value, but for what of a queue holds the time at which something was done to it. */
export async function picture(client: Client): Promise<Record<string, unknown>> {
  const keys = (await client.keys('uc:*')).sort();
  const read = async (key: string): Promise<unknown> => {
    const type = await client.type(key);
    if (type === 'hash') {
      const hash = await client.hgetallBuffer(key);
      return Object.fromEntries(
        Object.keys(hash)
          .filter((field) => field !== 'timestamp')
          .sort()
          .map((field) => [field, hash[field]?.toString('latin1')]),
      );
    }
    if (type === 'zset') return client.zrange(key, 0, '-1', 'WITHSCORES');
    if (type === 'list') return client.lrange(key, 0, -1);
    if (type === 'set') return (await client.smembers(key)).sort();
    return type === 'string' ? client.get(key) : type;
  };
  const isInside = (key: string): boolean => /:(?:events|meta|id|marker|stalled-check)$/.test(key) && key !== 'uc:meta';
  return Object.fromEntries(
    await Promise.all(keys.filter((key) => !isInside(key)).map(async (key) => [key, await read(key)] as const)),
  );
}
