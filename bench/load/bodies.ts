/** What children send, in the reference agent's spelling, made cheaply. */
import type { Task } from './task.ts';

/** Five points around a place that depends on the child's number. */
export function areaOf(n: number): string {
  const [x, y] = [13 + (n % 1000) * 0.0007, 52 + (Math.floor(n / 1000) % 1000) * 0.0005];
  const corners = [
    [x, y],
    [x + 0.0101, y],
    [x + 0.0101, y + 0.0083],
    [x, y + 0.0083],
    [x, y],
  ];
  return `[[${corners.map(([a = 0, b = 0]) => `[${a.toFixed(5)},${b.toFixed(5)}]`).join(',')}]]`;
}

export const pollBody = (id: string, n: number): string =>
  `{"id":"${id}","geographic_area":{"type":"Polygon","coordinates":${areaOf(n)}},"number_of_children":0}`;

const TIMES = '{"median":41.5,"minimum":20.25,"maximum":97.125}';
const summaryOf = (stage: string, status: number): string =>
  `{"stage_name":"${stage}","status":${status},"proxy_times":${TIMES},"f1_times_summary":${TIMES},` +
  `"f2_times_summary":${TIMES},"f1_err_rate":0.001,"f2_err_rate":0.002}`;

export const resultBody = (id: string, release: string, stage: string, status: number, next: string): string =>
  `{"id":"${id}","release_id":"${release}","stage_summaries":[${summaryOf(stage, status)}],"next_stage":"${next}"}`;

/** A function that gives the next body at each call. What repeats is made once. */
export function bodies({ body, prefix, children, from, release, stage, next }: Task): () => string {
  const make: Record<Task['body'], (n: number) => string> = {
    none: () => '',
    poll: (n) => pollBody(`${prefix}-${n}`, n),
    join: (n) => pollBody('', n),
    end_stage: (n) => `{"id":"${prefix}-${n}","strategy_id":"${release}","stage_name":"${stage}"}`,
    result: (n) => resultBody(`${prefix}-${n}`, release, stage, 2, next),
  };
  const ready = Array.from({ length: Math.min(children, 10_000) }, (_, i) => make[body](from + i));
  let n = 0;
  return () => {
    const i = n++ % children;
    return ready[i] ?? make[body](from + i);
  };
}
