/** Answers every message on one channel by one on another. Environment: PORT, REDIS_URL. */
import { createServer } from 'node:http';
import { sharedConnection } from './naive.ts';

const [publisher, subscriber] = [await sharedConnection(), await sharedConnection()];
subscriber.on('message', (_channel: string, message: string) => void publisher.publish('back', message));
await subscriber.subscribe('there');
createServer((_, response) => response.end('ready')).listen(Number(process.env['PORT']), '127.0.0.1');
