/** release.yml: from bytes to a strategy, with every fault at once and where it is. */
import { isCompensationId } from '#domain/rollout/compensation-id.ts';
import { z } from 'zod';
import { RELEASE_ID } from '#domain/ids.ts';
import { geoFaults } from '#domain/geo/faults.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { planStageFaults } from '#domain/plan/check.ts';
import type { Finding, Findings, Strategy } from '#domain/strategy/strategy.ts';
import { checkStrategy, type StrategyFault } from '#domain/strategy/check.ts';
import { isWithin, pathParts, pathText } from '#wire/path.ts';
import { readPlan, underPlan } from '#wire/plan/read-plan.ts';
import { readReleaseYaml } from './release-yaml.ts';

const NO_VERSION = { path: '', env: '' };
const NO_FUNCTION = { name: '', base_version: NO_VERSION, new_version: NO_VERSION };
const NO_CONDITION = { name: '', threshold: '' };
const NO_ACTION = { onSuccess: '', onFailure: '' };
const NO_STAGE = {
  name: '',
  type: '',
  func_name: '',
  variants: [],
  metrics_conditions: [],
  end_conditions: [],
  end_action: NO_ACTION,
};

/**
 * The shape of the file. The lenient one puts something in the place of what has the wrong shape, so that the rest of the
 * file is checked as well.
 */
function schemaOf(lenient: boolean) {
  const or = <T extends z.ZodType>(schema: T, instead: z.infer<T>): T =>
    lenient ? (schema.catch(instead as never) as unknown as T) : schema;
  const name = or(z.string('is missing or no text'), '');
  const version = or(z.object({ path: name, env: name }, 'is missing or no mapping of path and env'), NO_VERSION);
  const list = <T extends z.ZodType>(item: T, instead: z.infer<T>, message: string) =>
    or(z.array(or(item, instead), message), []);
  const percentage = or(
    z
      .string('is missing or no number')
      .regex(/^(0|[1-9]\d{0,2})$/, 'is no whole number from 0 to 100')
      .transform(Number),
    0,
  );
  const variant = z.object({ name, trafficPercentage: percentage }, 'is no mapping');
  const metric = z.object({ name, threshold: name, compareWith: name.optional() }, 'is no mapping');
  const end = z.object({ name, threshold: name }, 'is no mapping');
  const stage = z.object(
    {
      name,
      type: name,
      func_name: name,
      variants: list(variant, { name: '', trafficPercentage: 0 }, 'is missing or no list'),
      metrics_conditions: list(metric, NO_CONDITION, 'is no list').default([]),
      end_conditions: list(end, NO_CONDITION, 'is no list').default([]),
      end_action: or(z.object({ onSuccess: name, onFailure: name }, 'is missing or no mapping'), NO_ACTION),
    },
    'is no mapping',
  );
  const functionOf = z.object({ name, base_version: version, new_version: version }, 'is no mapping');
  const rollback = z.object({ function: name }, 'is missing or no mapping');
  return z.object(
    {
      id: or(
        z
          .string('is missing or no text')
          .regex(RELEASE_ID, 'must be 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor ..')
          .refine((id) => !isCompensationId(id), 'is kept for releases that take others back'),
        '',
      ),
      name: name.default(''),
      type: name.default(''),
      functions: list(functionOf, NO_FUNCTION, 'is missing or no list').refine(
        (all) => lenient || all.length > 0,
        'needs at least one function',
      ),
      stages: list(stage, NO_STAGE, 'is missing or no list').refine(
        (all) => lenient || all.length > 0,
        'needs at least one stage',
      ),
      rollback: or(z.object({ action: rollback }, 'is missing or no mapping'), { action: { function: '' } }),
      plan: z.unknown().optional(),
    },
    'is no mapping',
  );
}

const STRICT = schemaOf(false);
const LENIENT = schemaOf(true);

export type ReleaseFile = { strategy: Strategy; plan: Plan | undefined };

type ReadFile = Findings & {
  /** Null where there is nothing to publish. */
  file: ReleaseFile | null;
  /** Those whose shape could be read. */
  functions: Strategy['functions'];
  /** A finding with the line of its path in the file. */
  located(finding: Finding): Finding;
};

export function readReleaseFile(bytes: Buffer): ReadFile {
  const yaml = readReleaseYaml(bytes);
  if ('faults' in yaml)
    return { faults: yaml.faults, warnings: [], file: null, functions: [], located: (finding) => finding };
  const strict = STRICT.safeParse(yaml.content);
  const shape = strict.success
    ? []
    : strict.error.issues.map(({ path, message }): Finding => ({ path: pathText(path), message }));
  const read = strict.success ? strict : LENIENT.safeParse(yaml.content);
  const located = ({ path, message }: Finding): Finding => ({
    path,
    message: `${message}${yaml.line(pathParts(path))}`,
  });
  if (!read.success) return { faults: shape.map(located), warnings: [], file: null, functions: [], located };

  const { plan: given, ...strategy } = read.data;
  const { faults, warnings } = checkStrategy(strategy);
  const ofStages = (plan: Plan): StrategyFault[] =>
    [...planStageFaults(plan, strategy), ...geoFaults(plan)].filter((fault) => !followsFrom(underPlan(fault), shape));
  const { plan, faults: ofPlan } = given === undefined ? { plan: undefined, faults: [] } : readPlan(given, ofStages);
  const all = [
    ...shape,
    ...faults.filter((fault) => !followsFrom(fault, shape)),
    ...quotedNumbers(strategy, yaml.isQuoted),
    ...ofPlan.map(underPlan),
  ];
  const broken = (path: string): boolean => shape.some((fault) => isWithin(fault.path, path));
  return {
    faults: all.map(located),
    warnings: strict.success ? warnings.map(located) : [],
    file: strict.success && plan !== null ? { strategy, plan } : null,
    functions: strategy.functions.filter((_, i) => !broken(`functions[${i}]`)),
    located,
  };
}

/** Whether a fault is only the consequence of one of shape: what stands there instead was put there by us. */
const followsFrom = ({ path, from }: StrategyFault, shape: readonly Finding[]): boolean =>
  shape.some((wrong) => isWithin(path, wrong.path) || (from !== undefined && decides(wrong.path, from)));

/** Whether what stands at a path is the list, one of its items, or that field of one. */
function decides(path: string, { list, field }: { list: string; field: string }): boolean {
  if (!isWithin(path, list)) return false;
  const inside = path.slice(list.length).replace(/^\[\d+\]/, '');
  return inside === '' || inside === `.${field}`;
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
