/** Prometheus metrics: one registry per process, handed down, so that tests can run several side by side. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(role: string) {
  const registry = new Registry();
  registry.setDefaultLabels({ role });
  collectDefaultMetrics({ register: registry, prefix: 'choir_' });
  const registers = [registry];
  return {
    registry,
    requests: new Counter({
      name: 'choir_requests_total',
      help: 'Answered requests by route and status class',
      labelNames: ['route', 'status'],
      registers,
    }),
    batchSize: new Histogram({
      name: 'choir_batch_messages',
      help: 'Messages in a batch that was written to an intake queue',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
      registers,
    }),
    applied: new Counter({
      name: 'choir_messages_applied_total',
      help: 'Messages applied by intake workers',
      labelNames: ['kind'],
      registers,
    }),
    deadLetters: new Counter({
      name: 'choir_dead_letters_total',
      help: 'Messages that could not be applied and were set aside',
      labelNames: ['reason'],
      registers,
    }),
    ticks: new Counter({
      name: 'choir_ticks_total',
      help: 'Scheduler ticks by what they came to: idle, written, stale',
      labelNames: ['outcome'],
      registers,
    }),
    backlog: new Gauge({
      name: 'choir_intake_backlog_batches',
      help: 'Batches waiting in the fullest intake queue',
      registers,
    }),
    children: new Gauge({ name: 'choir_children', help: 'Children in the fleet', registers }),
  };
}
