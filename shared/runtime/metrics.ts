/** Prometheus metrics: one registry per process, handed down, so that tests can run several side by side. */
import { sharedText } from './shared-metrics.ts';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

/** `stack`: of the process, where it may be one of several that are asked as one. */
export function createMetrics(role: string, stack?: AsyncDisposableStack) {
  const registry = new Registry();
  registry.setDefaultLabels({ role });
  collectDefaultMetrics({ register: registry, prefix: 'choir_' });
  const registers = [registry];
  const answers = new Map<string, { route: string; status: string; count: number }>();
  const answersOf = (route: string, status: number): { count: number } => {
    const key = `${status} ${route}`;
    const known = answers.get(key) ?? { route, status: `${Math.floor(status / 100)}xx`, count: 0 };
    answers.set(key, known);
    return known;
  };
  const requests = new Counter({
    name: 'choir_requests_total',
    help: 'Answered requests by route and status class',
    labelNames: ['route', 'status'],
    registers,
    collect() {
      this.reset();
      for (const { route, status, count } of answers.values()) if (count > 0) this.inc({ route, status }, count);
    },
  });
  return {
    registry,
    requests,
    /** In the Prometheus format; of all processes of the role, where there are several. */
    text: stack === undefined ? () => registry.metrics() : sharedText(registry, stack),
    /** Where answers are counted. Every request of the fleet passes here: labels are looked up only when they are asked for. */
    answersOf,
    answered(route: string, status: number): void {
      answersOf(route, status).count++;
    },
    ...workMetrics(registers),
    ...loadMetrics(registers),
  };
}

/** What workers and schedulers do. */
const workMetrics = (registers: Registry[]) => ({
  batchSize: new Histogram({
    name: 'choir_batch_messages',
    help: 'Messages in a batch that was written to an intake queue',
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
    registers,
  }),
  applied: new Counter({
    name: 'choir_messages_applied_total',
    help: 'Messages applied by workers',
    registers,
  }),
  deadLetters: new Counter({
    name: 'choir_dead_letters_total',
    help: 'Messages that could not be applied and became dead letters',
    labelNames: ['reason'],
    registers,
  }),
  ticks: new Counter({
    name: 'choir_ticks_total',
    help: 'Scheduler ticks by what they came to: idle, written, stale',
    labelNames: ['outcome'],
    registers,
  }),
});

/** How much an API process has to do. */
const loadMetrics = (registers: Registry[]) => ({
  backlog: new Gauge({
    name: 'choir_intake_backlog_batches',
    help: 'Batches waiting in the fullest intake queue',
    aggregator: 'max',
    registers,
  }),
  lag: new Gauge({
    name: 'choir_event_loop_delay_seconds',
    help: 'Mean delay of the event loop over the last second',
    aggregator: 'max',
    registers,
  }),
  inFlight: new Gauge({ name: 'choir_requests_in_flight', help: 'Child requests in hand', registers }),
  parked: new Gauge({
    name: 'choir_requests_parked',
    help: 'Requests parked until there is something to say',
    registers,
  }),
  pressure: new Gauge({
    name: 'choir_pressure',
    help: 'Load as a share of its limits: polls are shed above 1',
    aggregator: 'max',
    registers,
  }),
  children: new Gauge({ name: 'choir_children', help: 'Children in the fleet', aggregator: 'max', registers }),
});
