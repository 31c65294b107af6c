/** release.yml: from bytes to a strategy, with every fault at once and where it is. */
import { z } from 'zod';
import { RELEASE_ID } from '#domain/ids.ts';
import type { Finding, Findings, Strategy } from '#domain/strategy.ts';
import { checkStrategy } from '#domain/strategy-check.ts';
import { pathParts, pathText } from './path.ts';
import { readReleaseYaml } from './release-yaml.ts';

/**
 * The shape of the file. The lenient one puts something in the place of what has the wrong shape, so that the rest of the
 * file is checked as well.
 */
function schemaOf(lenient: boolean) {
  const or = <T extends z.ZodType>(schema: T, instead: z.infer<T>): T =>
    lenient ? (schema.catch(instead as never) as unknown as T) : schema;
  const name = or(z.string('is missing or no text'), '');
  const version = or(z.object({ path: name, env: name }, 'is missing or no mapping of path and env'), {
    path: '',
    env: '',
  });
  const list = <T extends z.ZodType>(item: T, message: string) => or(z.array(item, message), []);
  const percentage = or(
    z
      .string('is missing or no number')
      .regex(/^(0|[1-9]\d{0,2})$/, 'is no whole number from 0 to 100')
      .transform(Number),
    0,
  );
  const stage = z.object(
    {
      name,
      type: name,
      func_name: name,
      variants: list(z.object({ name, trafficPercentage: percentage }, 'is no mapping'), 'is missing or no list'),
      metrics_conditions: list(
        z.object({ name, threshold: name, compareWith: name.optional() }, 'is no mapping'),
        'is no list',
      ).default([]),
      end_conditions: list(z.object({ name, threshold: name }, 'is no mapping'), 'is no list').default([]),
      end_action: or(z.object({ onSuccess: name, onFailure: name }, 'is missing or no mapping'), {
        onSuccess: '',
        onFailure: '',
      }),
    },
    'is no mapping',
  );
  const rollback = z.object({ function: name }, 'is missing or no mapping');
  return z.object(
    {
      id: or(
        z
          .string('is missing or no text')
          .regex(RELEASE_ID, 'must be 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..'),
        '',
      ),
      name: name.default(''),
      type: name.default(''),
      functions: list(
        z.object({ name, base_version: version, new_version: version }, 'is no mapping'),
        'is missing or no list',
      ).refine((all) => lenient || all.length > 0, 'needs at least one function'),
      stages: list(stage, 'is missing or no list').refine(
        (all) => lenient || all.length > 0,
        'needs at least one stage',
      ),
      rollback: or(z.object({ action: rollback }, 'is missing or no mapping'), { action: { function: '' } }),
      plan: or(
        z.union([z.string(), z.strictObject({ name: z.string() })], 'is the name of a plan').optional(),
        undefined,
      ),
    },
    'is no mapping',
  );
}

const STRICT = schemaOf(false);
const LENIENT = schemaOf(true);

export type ReleaseFile = { strategy: Strategy; planName: string | undefined };

/** `file` is null where there is nothing to publish; `functions` are those whose shape could be read. */
export function readReleaseFile(
  bytes: Buffer,
): Findings & { file: ReleaseFile | null; functions: Strategy['functions'] } {
  const yaml = readReleaseYaml(bytes);
  if ('faults' in yaml) return { faults: yaml.faults, warnings: [], file: null, functions: [] };
  const strict = STRICT.safeParse(yaml.content);
  const shape = strict.success
    ? []
    : strict.error.issues.map(({ path, message }): Finding => ({ path: pathText(path), message }));
  const read = strict.success ? strict : LENIENT.safeParse(yaml.content);
  const located = ({ path, message }: Finding): Finding => ({
    path,
    message: `${message}${yaml.line(pathParts(path))}`,
  });
  if (!read.success) return { faults: shape.map(located), warnings: [], file: null, functions: [] };

  const { plan, ...strategy } = read.data;
  const { faults, warnings } = checkStrategy(strategy);
  const all = [
    ...shape,
    ...faults.filter((fault) => !followsFrom(fault, shape)),
    ...quotedNumbers(strategy, yaml.isQuoted),
  ];
  const broken = (path: string): boolean => shape.some((fault) => fault.path.startsWith(path));
  return {
    faults: all.map(located),
    warnings: strict.success ? warnings.map(located) : [],
    file: strict.success ? { strategy, planName: typeof plan === 'object' ? plan.name : plan } : null,
    functions: strategy.functions.filter((_, i) => !broken(`functions[${i}]`)),
  };
}

/** Whether a fault is only the consequence of one of shape: what stands there instead was put there by us. */
function followsFrom({ path }: Finding, shape: readonly Finding[]): boolean {
  return shape.some(
    (fault) =>
      path.startsWith(fault.path) ||
      fault.path.startsWith(path) ||
      (/^stages\[\d+\](\.name)?$/.test(fault.path) && path.includes('.end_action.')) ||
      (fault.path.startsWith('functions') && path.endsWith('.func_name')),
  );
}

/** Agents read a percentage as a number, and a text in quotes is none. */
function quotedNumbers({ stages }: Strategy, isQuoted: (path: readonly PropertyKey[]) => boolean): Finding[] {
  return stages.flatMap((stage, s) =>
    stage.variants.flatMap((_, v) =>
      isQuoted(['stages', s, 'variants', v, 'trafficPercentage'])
        ? [
            {
              path: `stages[${s}].variants[${v}].trafficPercentage`,
              message: 'is a text in quotes: agents want a number',
            },
          ]
        : [],
    ),
  );
}
