/**
 * Metrics of several processes on one port: a scrape reaches one of them, which asks their parent, which asks them all, adds
 * up and answers. Counters add up; a gauge says itself how (see metrics.ts).
 */
import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client';

/** A child that doesn't answer within this time is left out. */
const PATIENCE_MS = 5_000;

type Json = MetricObjectWithValues<MetricValue<string>>[];
type Message =
  | { choir: 'scrape'; n: number }
  | { choir: 'collect'; n: number }
  | { choir: 'collected'; n: number; json: Json }
  | { choir: 'scraped'; n: number; text: string };

const isOurs = (message: unknown): message is Message => typeof (message as Message | null)?.choir === 'string';

export function sharedText(registry: Registry, stack: AsyncDisposableStack): () => Promise<string> {
  if (cluster.isPrimary) {
    answerChildren(registry, stack);
    return () => registry.metrics();
  }
  process.on('message', (message) => {
    if (isOurs(message) && message.choir === 'collect')
      void registry.getMetricsAsJSON().then((json) => tell({ choir: 'collected', n: message.n, json }));
  });
  return askParent;
}

const tell = (message: Message): unknown => process.connected && process.send?.(message);
let questions = 0;

async function askParent(): Promise<string> {
  const n = questions++;
  const { promise, resolve } = Promise.withResolvers<string>();
  const listen = (message: unknown): void => {
    if (isOurs(message) && message.choir === 'scraped' && message.n === n) resolve(message.text);
  };
  process.on('message', listen);
  try {
    tell({ choir: 'scrape', n });
    return await promise;
  } finally {
    process.off('message', listen);
  }
}

function answerChildren(registry: Registry, stack: AsyncDisposableStack): void {
  let rounds = 0;
  async function collect(): Promise<string> {
    const n = rounds++;
    const children = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected() === true);
    const answers = new Map<number, Json>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, PATIENCE_MS);
    const listen = (worker: Worker, message: unknown): void => {
      if (!isOurs(message) || message.choir !== 'collected' || message.n !== n) return;
      answers.set(worker.id, message.json);
      if (answers.size === children.length) resolve();
    };
    cluster.on('message', listen);
    for (const child of children) child?.send({ choir: 'collect', n } satisfies Message);
    await promise;
    clearTimeout(timer);
    cluster.off('message', listen);
    const own = (await registry.getMetricsAsJSON()) as Json;
    return AggregatorRegistry.aggregate([own, ...answers.values()]).metrics();
  }
  const answer = (worker: Worker, message: unknown): void => {
    if (!isOurs(message) || message.choir !== 'scrape') return;
    void reply(worker, message.n);
  };
  async function reply(worker: Worker, n: number): Promise<void> {
    const text = await collect();
    if (worker.isConnected()) worker.send({ choir: 'scraped', n, text } satisfies Message);
  }
  cluster.on('message', answer);
  stack.defer(() => void cluster.off('message', answer));
}
