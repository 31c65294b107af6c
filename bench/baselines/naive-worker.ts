/** The naive pipeline's worker: one job is one result is one call of the same Lua; concurrency 50. */
import { createServer } from 'node:http';
import { Worker } from 'bullmq';
import { createKeys } from '#store/layout/keys.ts';
import { createStores } from '#store/stores.ts';
import { PARTITIONS } from '../lib/populate.ts';
import { STAGES } from '../lib/release.ts';
import { messageOf, sharedConnection } from './naive.ts';

const connection = await sharedConnection();
const { children, releases } = createStores(connection, createKeys('uc'), PARTITIONS);
const shortIds = new Map<string, string>();
const worker = new Worker(
  'naive',
  async (job) => {
    const message = messageOf(job.data, STAGES);
    const { id, release } = message;
    const shortId = shortIds.get(release) ?? (await releases.rollout(release))?.shortId ?? '';
    shortIds.set(release, shortId);
    await children.applyAll(children.partition(id), [{ ...message, shortId }]);
  },
  { connection, prefix: 'naive', concurrency: 50 },
);
worker.on('error', () => {});
createServer((_, response) => response.end('ready')).listen(Number(process.env['PORT']), '127.0.0.1');
