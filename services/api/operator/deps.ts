import type { EnrolmentProducer, TickProducer } from '#queue/producers.ts';
import type { Client } from '#store/connection/client.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { Stores } from '#store/stores.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Events } from './events/events.ts';

/** What the routes of the operator API need. */
export type OperatorDeps = Stores & {
  client: Client;
  keys: Keys;
  clock: Clock;
  ticks: Pick<TickProducer, 'schedule'>;
  enrolmentJobs: Pick<EnrolmentProducer, 'add'>;
  publish: Publisher;
  events: Pick<Events, 'listen'>;
  freshForMs: number;
  seenPrecisionMs: number;
  bundleLimit: number;
};
