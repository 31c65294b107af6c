/** All that a reference agent would choke on in a release.yml of the right shape, and more: every fault at once. */
import { parseGoDuration } from '#domain/duration.ts';
import {
  type Finding,
  isEnd,
  namesNoStage,
  ROLLBACK,
  ROLLOUT,
  type Stage,
  STAGE_TYPES,
  type Strategy,
} from './strategy.ts';

/** `from`: the field of a list's items that it is drawn from, besides what lies at its own path. */
export type StrategyFault = Finding & { from?: { list: string; field: string } };

type Say = (path: string, message: string, from?: StrategyFault['from']) => void;
/** What is found goes to one of the two. */
type Findings = { fault: Say; warn: (path: string, message: string) => void };

/** As agents read it: no space between the two. */
const METRIC_THRESHOLD = /^(?:<=|>=|<|>|=)((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)$/;
const COMPARE_WITH = ['Minimum', 'Median', 'Maximum'];
const VARIANTS = ['base_version', 'new_version'];
const MAX_STAGES = 64;

export function checkStrategy(strategy: Strategy): { faults: StrategyFault[]; warnings: Finding[] } {
  const faults: StrategyFault[] = [];
  const warnings: Finding[] = [];
  const found: Findings = {
    fault: (path, message, from) => void faults.push({ path, message, ...(from && { from }) }),
    warn: (path, message) => void warnings.push({ path, message }),
  };
  const { fault } = found;

  if (strategy.stages.length > MAX_STAGES) fault('stages', `at most ${MAX_STAGES} stages`);
  checkFunctions(strategy, fault);
  duplicates(strategy.stages.map((s) => s.name)).forEach((i) =>
    fault(`stages[${i}].name`, `"${strategy.stages[i]?.name}" names an earlier stage too: names are unique`),
  );
  strategy.stages.forEach((stage, i) => checkStage(strategy, stage, i, found));
  if (!VARIANTS.includes(strategy.rollback.action.function))
    fault('rollback.action.function', `is base_version or new_version, not "${strategy.rollback.action.function}"`);
  return { faults, warnings };
}

function checkFunctions({ functions }: Strategy, fault: Say): void {
  duplicates(functions.map((f) => f.name)).forEach((i) =>
    fault(`functions[${i}].name`, `"${functions[i]?.name}" is defined twice`),
  );
  functions.forEach((f, i) => {
    if (f.name === '') fault(`functions[${i}].name`, 'is empty');
    for (const version of ['base_version', 'new_version'] as const) {
      const bad = pathFault(f[version].path);
      if (bad !== null) fault(`functions[${i}].${version}.path`, bad);
      if (f[version].env === '') fault(`functions[${i}].${version}.env`, 'is empty');
    }
  });
}

/** A function's folder lies below `fns/` in the zip and nowhere else, whatever its path tries. */
export function pathFault(path: string): string | null {
  const parts = path.replace(/\/$/, '').split('/');
  if (path.startsWith('/') || path.includes('\\') || parts.includes('..') || parts.includes('.'))
    return `"${path}" leads out of fns/`;
  if (parts[0] !== 'fns' || parts.length < 2 || parts.includes('')) return `"${path}" is no folder below fns/`;
  return null;
}

function checkStage(strategy: Strategy, stage: Stage, i: number, found: Findings): void {
  const { fault } = found;
  const at = `stages[${i}]`;
  if (stage.name.trim() === '') fault(`${at}.name`, 'is empty');
  // oxlint-disable-next-line no-control-regex
  else if (/[\u0000-\u001f\u007f-\u009f]/.test(stage.name)) fault(`${at}.name`, 'holds control characters');
  else if (isEnd(stage.name)) fault(`${at}.name`, `"${stage.name}" is an end action, it can't name a stage`);
  if (!(STAGE_TYPES as readonly string[]).includes(stage.type))
    fault(`${at}.type`, `is ${STAGE_TYPES.join(' or ')}, not "${stage.type}"`);
  if (!strategy.functions.some((f) => f.name === stage.func_name))
    fault(`${at}.func_name`, `"${stage.func_name}" is none of the functions`, { list: 'functions', field: 'name' });
  checkVariants(stage, at, fault);
  checkConditions(stage, at, found);
  checkEndAction(strategy, stage, i, found);
}

function checkVariants(stage: Stage, at: string, fault: Say): void {
  const list = `${at}.variants`;
  let sum = 0;
  stage.variants.forEach((variant, v) => {
    if (!VARIANTS.includes(variant.name))
      fault(`${at}.variants[${v}].name`, `is base_version or new_version, not "${variant.name}"`);
    const share = variant.trafficPercentage;
    if (!(Number.isInteger(share) && share >= 0 && share <= 100))
      fault(`${at}.variants[${v}].trafficPercentage`, `${share} isn't a whole number from 0 to 100`);
    sum += share;
  });
  for (const name of VARIANTS)
    if (stage.variants.filter((v) => v.name === name).length !== 1)
      fault(list, `needs ${name} once`, { list, field: 'name' });
  if (Math.abs(sum - 100) > 1e-9)
    fault(list, `the percentages sum to ${sum}, not to 100`, { list, field: 'trafficPercentage' });
}

function checkConditions(stage: Stage, at: string, { fault, warn }: Findings): void {
  if (stage.metrics_conditions.length === 0)
    warn(`${at}.metrics_conditions`, 'are none: the stage succeeds whatever is measured');
  stage.metrics_conditions.forEach((condition, c) => {
    const path = `${at}.metrics_conditions[${c}]`;
    const limit = METRIC_THRESHOLD.exec(condition.threshold);
    if (limit === null || !Number.isFinite(Number(limit[1])))
      fault(`${path}.threshold`, `"${condition.threshold}" isn't <, <=, >, >= or = with a number right behind it`);
    if (condition.name === 'responseTime') {
      if (!COMPARE_WITH.includes(condition.compareWith ?? ''))
        fault(`${path}.compareWith`, `is one of ${COMPARE_WITH.join(', ')}`);
    } else if (condition.name === 'errorRate') {
      if (Number(limit?.[1]) > 1) warn(`${path}.threshold`, 'an error rate is a share from 0 to 1');
    } else fault(`${path}.name`, `is errorRate or responseTime, not "${condition.name}"`);
  });
}

function checkEndConditions(stage: Stage, at: string, fault: Say): void {
  duplicates(stage.end_conditions.map((c) => c.name)).forEach((c) =>
    fault(`${at}.end_conditions[${c}].name`, `"${stage.end_conditions[c]?.name}" stands there twice`),
  );
  stage.end_conditions.forEach((condition, c) => {
    const path = `${at}.end_conditions[${c}]`;
    if (condition.name === 'minDuration') {
      const ms = parseGoDuration(condition.threshold);
      if (ms === null || ms < 0)
        fault(`${path}.threshold`, `"${condition.threshold}" is no duration such as 10s or 1h30m`);
    } else if (condition.name === 'minCalls') {
      if (!/^\d{1,15}$/.test(condition.threshold))
        fault(`${path}.threshold`, `"${condition.threshold}" is no whole number`);
    } else fault(`${path}.name`, `is minDuration or minCalls, not "${condition.name}"`);
  });
}

function checkEndAction({ stages }: Strategy, stage: Stage, i: number, { fault, warn }: Findings): void {
  const at = `stages[${i}]`;
  checkEndConditions(stage, at, fault);
  for (const key of ['onSuccess', 'onFailure'] as const) {
    const action = stage.end_action[key];
    const path = `${at}.end_action.${key}`;
    if (action === stage.name) fault(path, `"${action}" is the stage itself`);
    else if (namesNoStage(action) ? action === '' : !stages.some((s) => s.name === action))
      fault(
        path,
        action === '' ? 'is empty' : `"${action}" is neither rollout, rollback nor a stage`,
        action === '' ? undefined : { list: 'stages', field: 'name' },
      );
    else if (stages.findIndex((s) => s.name === action) < i && !isEnd(action))
      warn(path, `"${action}" is an earlier stage: agents run in file order and never go back`);
  }
  const following = stages[i + 1]?.name;
  const next = stage.end_action.onSuccess;
  if (following === undefined ? next !== ROLLOUT && next !== ROLLBACK : next !== following)
    warn(
      `${at}.end_action.onSuccess`,
      following === undefined
        ? `"${next}" after the last stage: agents run in file order and end here`
        : `"${next}" isn't the following stage, "${following}": agents run in file order`,
    );
}

/** Indices of the values that stood earlier in the list already. */
function duplicates(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
