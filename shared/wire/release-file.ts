/** release.yml: from bytes to a strategy, with every fault at once and where it is. */
import { isScalar, type LineCounter, LineCounter as Lines, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { RELEASE_ID } from '#domain/ids.ts';
import type { Finding, Findings, Strategy } from '#domain/strategy.ts';
import { checkStrategy } from '#domain/strategy-check.ts';
import { pathParts, pathText } from './path.ts';

const name = z.string('is missing or no text');
const version = z.object({ path: name, env: name }, 'is missing or no mapping of path and env');

const release = z.object(
  {
    id: name.regex(RELEASE_ID, 'must be 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..'),
    name: name.default(''),
    type: name.default(''),
    functions: z
      .array(z.object({ name, base_version: version, new_version: version }, 'is no mapping'), 'is missing or no list')
      .min(1, 'needs at least one function'),
    stages: z
      .array(
        z.object(
          {
            name,
            type: name,
            func_name: name,
            variants: z.array(
              z.object(
                { name, trafficPercentage: name.regex(/^\d+(\.\d+)?$/, 'is no percentage').transform(Number) },
                'is no mapping',
              ),
              'is missing or no list',
            ),
            metrics_conditions: z
              .array(z.object({ name, threshold: name, compareWith: name.optional() }, 'is no mapping'), 'is no list')
              .default([]),
            end_conditions: z.array(z.object({ name, threshold: name }, 'is no mapping'), 'is no list').default([]),
            end_action: z.object({ onSuccess: name, onFailure: name }, 'is missing or no mapping'),
          },
          'is no mapping',
        ),
        'is missing or no list',
      )
      .min(1, 'needs at least one stage'),
    rollback: z.object(
      { action: z.object({ function: name }, 'is missing or no mapping') },
      'is missing or no mapping',
    ),
    plan: z.union([name, z.object({ name })], 'is the name of a plan').optional(),
  },
  'is no mapping',
);

export type ReleaseFile = { strategy: Strategy; planName: string | undefined };

/** The size that an agent's memory and ours can be asked for. */
const MAX_YML = 1024 * 1024;

/**
 * Reads release.yml as agents do: every scalar is its source text (YAML's failsafe schema), so that an id `1.0` or `010`
 * stays as written; plain `null`, `~` and nothing are no value.
 */
export function readReleaseFile(bytes: Buffer): Findings & { file: ReleaseFile | null } {
  const failed = (faults: Finding[]) => ({ faults, warnings: [], file: null });
  if (bytes.length > MAX_YML) return failed([{ path: '', message: `is larger than ${MAX_YML} bytes` }]);
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return failed([{ path: '', message: 'is not UTF-8 text' }]);
  }
  const lineCounter = new Lines();
  const document = parseDocument(source, { schema: 'failsafe', merge: true, lineCounter, prettyErrors: false });
  if (document.errors.length > 0)
    return failed(document.errors.map((e) => ({ path: `line ${lineOf(lineCounter, e.pos[0])}`, message: e.message })));
  visit(document, {
    Scalar(_, node) {
      if (node.type === 'PLAIN' && /^(~|null|Null|NULL|)$/.test(node.source ?? '')) node.value = null;
    },
  });
  let content: unknown;
  try {
    content = withoutNulls(document.toJS());
  } catch (error) {
    return failed([{ path: '', message: (error as Error).message }]);
  }
  const line = (path: readonly PropertyKey[]): string => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true);
      const range =
        isScalar(node) || (typeof node === 'object' && node !== null) ? (node as { range?: number[] }).range : null;
      if (range?.[0] !== undefined) return ` (line ${lineOf(lineCounter, range[0])})`;
    }
    return '';
  };
  const parsed = release.safeParse(content);
  if (!parsed.success)
    return failed(
      parsed.error.issues.map((issue) => ({
        path: pathText(issue.path),
        message: `${issue.message}${line(issue.path)}`,
      })),
    );
  const { plan, ...strategy } = parsed.data;
  const findings = checkStrategy(strategy);
  const located = ({ path, message }: Finding): Finding => ({ path, message: `${message}${line(pathParts(path))}` });
  return {
    faults: findings.faults.map(located),
    warnings: findings.warnings.map(located),
    file: { strategy, planName: typeof plan === 'object' ? plan.name : plan },
  };
}

const lineOf = (lines: LineCounter, offset: number): number => lines.linePos(offset).line;

/** A key without a value is as good as absent: the schema then says "missing" and not "null". */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  return Object.fromEntries(Object.entries(value).flatMap(([k, v]) => (v === null ? [] : [[k, withoutNulls(v)]])));
}
