/**
 * Counts as fields of a hash in Redis: `n` enrolled; `r<release status>`; `m<sum of flags>`; `s<stage>.<status>`; `d<stage>`
 * Done with that stage; `<stage>.<metric>:<bucket>` of the sketches. A count at zero has no field. Fields with @ are no counts.
 */
import { type Counts, type MutableCounts, newCounts, NO_COUNTS, sketchIn, stageIn } from '#domain/counts/counts.ts';
import { METRICS, type Metric } from '#domain/counts/sketch.ts';

/**
 * What several hashes add up to, each as fields and values in turn, as HGETALL gives them in a script. They are added as they are
 * read: a tick reads a hundred thousand of them, and a value of its own for each costs more than the reading.
 */
export function sumRows(hashes: readonly (readonly string[])[]): Counts {
  if (hashes.every((rows) => rows.length === 0)) return NO_COUNTS;
  const counts = newCounts();
  for (const rows of hashes)
    for (let i = 0; i < rows.length; i += 2) addField(counts, rows[i] ?? '', Number(rows[i + 1]));
  return counts;
}

export function parseCounts(hash: Readonly<Record<string, string>>): Counts {
  const counts = newCounts();
  for (const field of Object.keys(hash)) addField(counts, field, Number(hash[field]));
  return counts;
}

const isMetric = (name: string): name is Metric => (METRICS as readonly string[]).includes(name);

function addAt(list: number[], i: number, n: number): void {
  list[i] = (list[i] ?? 0) + n;
}

function addField(counts: MutableCounts, field: string, n: number): void {
  const rest = field.slice(1);
  switch (field.charAt(0)) {
    case '@':
      return;
    case 'n':
      counts.enrolled += n;
      return;
    case 'r':
      addAt(counts.byStatus, Number(rest), n);
      return;
    case 'm':
      addAt(counts.byFlags, Number(rest), n);
      return;
    case 'd':
      stageIn(counts, Number(rest)).doneWith += n;
      return;
    case 's': {
      const dot = rest.indexOf('.');
      addAt(stageIn(counts, Number(rest.slice(0, dot))).byStatus, Number(rest.slice(dot + 1)), n);
      return;
    }
    default: {
      const [dot, colon] = [field.indexOf('.'), field.indexOf(':')];
      const metric = field.slice(dot + 1, colon);
      if (!isMetric(metric)) return;
      const sketch = sketchIn(stageIn(counts, Number(field.slice(0, dot))), metric);
      const bucket = field.slice(colon + 1);
      sketch.set(bucket, (sketch.get(bucket) ?? 0) + n);
    }
  }
}

export function toFields(counts: Counts): Map<string, number> {
  const fields = new Map<string, number>();
  const put = (field: string, n: number): void => {
    if (n !== 0) fields.set(field, n);
  };
  put('n', counts.enrolled);
  for (const [status, n] of counts.byStatus.entries()) put(`r${status}`, n);
  for (const [flags, n] of counts.byFlags.entries()) put(`m${flags}`, n);
  for (const [i, stage] of counts.stages.entries()) {
    for (const [status, n] of stage.byStatus.entries()) put(`s${i}.${status}`, n);
    put(`d${i}`, stage.doneWith);
    for (const metric of METRICS)
      for (const [bucket, n] of stage.sketches[metric] ?? []) put(`${i}.${metric}:${bucket}`, n);
  }
  return fields;
}
