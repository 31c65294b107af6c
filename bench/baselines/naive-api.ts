/** The naive pipeline's front: Koa, and one BullMQ job per result. Environment: PORT, REDIS_URL, TAG. */
import { createServer } from 'node:http';
import { Queue } from 'bullmq';
import Koa from 'koa';
import { sharedConnection } from './naive.ts';

const queue = new Queue('naive', { connection: await sharedConnection(), prefix: 'naive' });
const app = new Koa();
app.use(async (ctx) => {
  if (ctx.method !== 'POST') {
    ctx.body = 'ready';
    return;
  }
  let text = '';
  ctx.req.setEncoding('utf8');
  for await (const chunk of ctx.req) text += String(chunk);
  await queue.add('result', JSON.parse(text), { removeOnComplete: true });
  ctx.body = '';
});
const handle = app.callback();
createServer((request, response) => void handle(request, response)).listen(Number(process.env['PORT']), '127.0.0.1');
