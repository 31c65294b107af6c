/** Whose turn it is: locations are opened in their order, wave by wave, and each wave in its time. */
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { Decision } from '../play.ts';
import { isFullyEnrolled, type LawState, must } from './state.ts';

/** An operator may withdraw the last one of a wave as well. */
export function noteOpen(state: LawState, { open }: Rollout, now: number): void {
  if (state.isAnyOpen && open.length === 0) state.emptySince = now;
  state.isAnyOpen = open.length > 0;
}

/** How many children a location has is known only when all are enrolled. */
export function checkKnown(state: LawState, { before, after, fleet }: Decision): void {
  for (const location of after.open) {
    const { id, n, children } = location;
    state.numbers.set(id, n);
    if (children === null || state.known.has(id)) continue;
    if (children > 0) must(isFullyEnrolled(state, fleet, location), `all are enrolled in ${id}`);
    const wasOpen = before.open.some((each) => each.id === id);
    must(wasOpen, `${id} was opened before it was enrolled`);
    state.known.add(id);
  }
}

export function checkOpening(state: LawState, decision: Decision): void {
  const { before, after, fleet } = decision;
  const isNew = ({ id }: { id: string }): boolean => !state.hadTurn.includes(id);
  const fresh = after.open.filter(isNew);
  const passedOver = after.withdrawn.filter((each) => each.as === 'skipped' && isNew(each));
  if (fresh.length + passedOver.length === 0) return;
  must(before.state === 'running', 'a location opens only while it runs');
  must(fleet.isAssigned(), 'a location opens only when their order is known');
  const isAllNew = after.open.every(({ id }) => fresh.some((each) => each.id === id));
  must(isAllNew, 'a wave starts only when the one before has completed');
  if (before.started.waves > 0) checkTime(state, decision);
  checkSize(state, decision, fresh, passedOver.length);
  for (const { id } of fresh) must(!before.skip.includes(id), 'who is skipped is not opened');
  const from = state.hadTurn.length;
  state.hadTurn.push(...[...fresh, ...passedOver].map(({ id }) => id));
  if (fleet.byCohorts || fleet.byTurns || fleet.isDirect) return;
  const inOrder = [...fresh, ...passedOver].sort((a, b) => a.n - b.n).map(({ id }) => id);
  must(String(fleet.order().slice(from, from + inOrder.length)) === String(inOrder), 'in order');
}

function checkTime({ plan, emptySince }: LawState, { before, now }: Decision): void {
  // In the same decision its last location may have completed.
  const since = before.open.length > 0 ? now : emptySince;
  // A wave of locations that were all skipped has no end to look at.
  const isFirst = before.withdrawn.length === before.started.locations;
  must(isFirst || (since !== null && now - since >= plan.waveSoakMs), 'a wave starts only after its soak');
  const isApproved = !plan.advance.approval.waves || before.approvedWaves >= before.started.waves;
  must(isApproved, 'a wave starts only when approved');
}

function checkSize(
  { plan: { waves } }: LawState,
  { before, fleet }: Decision,
  fresh: readonly OpenLocation[],
  passedOver: number,
): void {
  if (waves.kind === 'shares') return;
  const size = waves.kind === 'fixed' ? waves.size : 2 ** before.started.waves;
  const taken = fleet.byCohorts ? (fresh[0]?.members ?? 0) : fresh.length + passedOver;
  must(taken <= size, `wave of ${taken} where ${size} may start`);
}
