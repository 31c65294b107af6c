/** No gate opens but by its conditions, and it holds whom it should. */
import { StageStatus } from '#domain/child/status.ts';
import { bucketOf, valueOf } from '#domain/counts/sketch.ts';
import { isGateOpen } from '#domain/rollout/membership.ts';
import type { Condition, OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { Child } from '../model/child.ts';
import type { Fleet } from '../model.ts';
import type { Decision } from '../play.ts';
import { hasFailed, hasPassed, isFullyEnrolled, lateIn, type LawState, membersIn, type Moment, must } from './state.ts';

/** All that children bring about, but for soak and approval. */
function conditionsHold(state: LawState, fleet: Fleet, location: OpenLocation, stage: number): boolean {
  const { advance } = state.plan;
  const members = membersIn(fleet, location.id);
  const lateOnes = lateIn(fleet, location.id);
  const own = members.filter((child) => !(child.ended === 'Done' && child.stage < stage));
  const late = lateOnes.filter((child) => hasPassed(child, stage) || hasFailed(child, stage));
  const of = own.length + late.length;
  const passed = [...own, ...late].filter((child) => hasPassed(child, stage)).length;
  if (of === 0 || passed === 0 || !isFullyEnrolled(state, fleet, location)) return false;
  if (passed < Math.ceil(advance.quorum * of - 1e-9) || passed < advance.minChildren) return false;
  if (advance.metrics === null) return true;
  return (state.stages[stage]?.conditions ?? []).every((condition) =>
    isMet(state, condition, measured([...members, ...lateOnes], stage, condition), passed),
  );
}

/** What children measured in a stage, the smallest first, as exactly as it is kept. */
const measured = (children: readonly Child[], stage: number, { metric }: Condition): number[] =>
  children
    .filter(({ statuses }) => (statuses[stage] ?? 0) > StageStatus.InProgress)
    .map(({ script }) => script.stages[stage])
    .filter((script) => script !== undefined && script.median >= 0)
    .map((script) => valueOf(bucketOf((metric === 'f2' ? script?.median : script?.errors) ?? 0)))
    .sort((a, b) => a - b);

function isMet({ plan }: LawState, { limit }: Condition, values: readonly number[], passed: number): boolean {
  const judged = plan.advance.metrics;
  const meeting = values.filter((value) => value <= limit).length;
  if (meeting === 0) return false;
  if (judged?.judge === 'worst') return meeting === values.length;
  if (judged?.judge === 'share') return meeting / Math.max(values.length, passed) >= judged.share - 1e-9;
  return (values[Math.floor((values.length - 1) / 2)] ?? Infinity) <= limit;
}

const keyOf = (id: string, stage: number): string => `${id} ${stage}`;

/** Since when conditions hold is asked each second, and before each decision. */
export function noteMet(state: LawState, { rollout, fleet, now }: Moment): void {
  for (const location of rollout.open)
    for (const stage of state.signalled) {
      const key = keyOf(location.id, stage);
      if (!conditionsHold(state, fleet, location, stage)) state.metSince.delete(key);
      else if (!state.metSince.has(key)) state.metSince.set(key, now);
    }
}

function isSoaked({ metSince, plan }: LawState, id: string, stage: number, now: number): boolean {
  const since = metSince.get(keyOf(id, stage));
  return since !== undefined && now - since >= plan.advance.soakMs;
}

function isApproved({ plan, stages }: LawState, { approved = [] }: OpenLocation, stage: number): boolean {
  const { stages: needed } = plan.advance.approval;
  const isNeeded = needed === 'all' || needed.includes(stages[stage]?.name ?? '');
  return !isNeeded || approved.includes(stage);
}

export function checkGates(state: LawState, decision: Decision): void {
  const { before, after, fleet } = decision;
  if (after.state !== 'running' && after.state !== 'completed') return;
  for (const { id, gates } of after.open)
    if (before.open.every((each) => each.id !== id)) must(gates.length === 0, 'no gate is open from the beginning');
  // Who was withdrawn in the same decision is no longer waited for.
  const withdrawn = new Set(after.withdrawn.map(({ id }) => id));
  const open = before.open.filter(({ id }) => !withdrawn.has(id));
  for (const was of open)
    for (const stage of fleet.gatesIn(after, was)) {
      if (was.gates.includes(stage)) continue;
      must(before.state === 'running', 'a gate opens only while it runs');
      must(was.held === undefined, 'no gate opens in a location that is held');
      must(state.signalled.includes(stage), 'only stages that wait for a signal have gates');
      for (const each of state.plan.stages === 'lockstep' ? open : [was])
        if (!each.gates.includes(stage)) checkOpened(state, decision, each, stage);
    }
}

function checkOpened(state: LawState, { fleet, now }: Decision, location: OpenLocation, stage: number): void {
  const { id, held } = location;
  must(held === undefined, 'no gate opens while another location is held in lockstep');
  must(conditionsHold(state, fleet, location, stage), `the conditions of stage ${stage} hold in ${id}`);
  must(isSoaked(state, id, stage, now), `the conditions of stage ${stage} have held long enough in ${id}`);
  must(isApproved(state, location, stage), `stage ${stage} is approved in ${id}`);
}

const isTakenBack = ({ state }: Rollout): boolean => state === 'reverting' || state === 'reverted';

/** What a rollout says of a gate is what children have seen of it. */
export function checkPassing(state: LawState, { rollout, fleet }: Moment): void {
  for (const child of fleet.children) {
    const { location: id, stage: current } = child;
    if (child.enrolledAt === null || id === null || child.ended !== null) continue;
    const n = state.numbers.get(id);
    if (n === undefined) continue;
    const isOpen = rollout.open.some((each) => each.id === id);
    for (const stage of state.signalled) {
      if (stage < current) continue;
      const isPassed = isGateOpen(rollout, { id, n: fleet.byTurns ? 0 : n }, stage, -1);
      const isSeenOpen = fleet.isGateOpen(child, stage);
      // Where all who wait at a gate are to pass it, one that had stayed closed opens too, and stays so.
      const opensAll = isTakenBack(rollout) && rollout.plan.openGatesOnRevert && !isOpen;
      must(!isPassed || isSeenOpen || opensAll, `gate ${stage} of ${id} lets ${child.id} pass, and was never opened`);
      if (isOpen) must(isPassed === isSeenOpen, `gate ${stage} of ${id} is open, and holds ${child.id}`);
    }
  }
}
