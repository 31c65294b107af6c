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

type Report = { stage: string; status: number; next: string };

export const resultBody = (id: string, release: string, { stage, status, next }: Report): string =>
  `{"id":"${id}","release_id":"${release}","stage_summaries":[${summaryOf(stage, status)}],"next_stage":"${next}"}`;

export const longId = (prefix: string, n: number): string =>
  `${prefix}-${n.toString(16).padStart(8, '0')}-4b2c-bffc-20f558fc2867`;

const PREPARED = 20_000;

/** A function that gives the next whole request at each call. What repeats is made once. */
export function requests({
  method,
  path,
  body,
  prefix,
  longIds,
  children,
  from,
  release,
  stage,
  next,
}: Task): () => Buffer {
  const id = (n: number): string => (longIds ? longId(prefix, n) : `${prefix}-${n}`);
  const bodyOf: Record<Task['body'], (n: number) => string> = {
    none: () => '',
    poll: (n) => pollBody(id(n), n),
    join: (n) => pollBody('', n),
    end_stage: (n) => `{"id":"${id(n)}","strategy_id":"${release}","stage_name":"${stage}"}`,
    result: (n) => resultBody(id(n), release, { stage, status: 2, next }),
  };
  const make = (i: number): Buffer => {
    const text = bodyOf[body](from + i);
    const head = `${method} ${path} HTTP/1.1\r\nHost: bench\r\n`;
    if (method === 'GET') return Buffer.from(`${head}\r\n`);
    return Buffer.from(`${head}Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  };
  const ready = Array.from({ length: Math.min(children, PREPARED) }, (_, i) => make(i));
  let n = 0;
  return () => {
    const i = n++ % children;
    return ready[i] ?? make(i);
  };
}
