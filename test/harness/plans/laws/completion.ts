/** Nothing completes, no location and no release, while somebody is underway in it. */
import type { OpenLocation } from '#domain/rollout/rollout.ts';
import type { Child } from '../model/child.ts';
import type { Decision } from '../play.ts';
import { isFullyEnrolled, type LawState, membersIn, must } from './state.ts';

export function checkCompletion(state: LawState, decision: Decision): void {
  const { before, after } = decision;
  const stays = new Set([...after.open, ...after.withdrawn].map(({ id }) => id));
  for (const location of before.open) if (!stays.has(location.id)) checkLocation(state, decision, location);
  if (after.state === 'completed' && before.state === 'running') checkRelease(state, decision);
}

function checkLocation(state: LawState, { before, fleet }: Decision, location: OpenLocation): void {
  const { plan } = state;
  const { id } = location;
  must(before.state === 'running' && location.held === undefined, 'a location completes only while it goes on');
  if (fleet.membersOf(id).length > 0)
    must(isFullyEnrolled(state, fleet, location), 'a location completes only when all are enrolled');
  const members = membersIn(fleet, id);
  const isOut = (child: Child): boolean =>
    child.ended !== null || child.lost || (child.overdue && plan.deadline?.then === 'fail');
  must(members.every(isOut), `nobody is underway in ${id}, which has completed`);
  if (!fleet.isPaced && !fleet.byCohorts)
    must(fleet.toCome(id).length === 0, `nobody is left behind in ${id}, which has completed`);
  // Where a child waits for no other, the budget alone says how many may fail.
  if (plan.locations.by === 'child' && plan.stages === 'own-pace') return;
  const done = members.filter(({ ended }) => ended === 'Done').length;
  const needed = Math.ceil(plan.advance.quorum * members.length - 1e-9);
  must(done >= needed, 'a location completes only with its quorum Done');
}

function checkRelease({ plan, hadTurn }: LawState, { after, fleet }: Decision): void {
  const isSuccess = fleet.children.some(({ ended }) => ended === 'Done');
  must(isSuccess, 'nobody’s success is no success');
  must(after.open.length === 0, 'nothing is open in what is completed');
  const withdrawn = new Set(after.withdrawn.map(({ id }) => id));
  for (const child of fleet.children) {
    if (child.location !== null && withdrawn.has(child.location)) continue;
    must(!fleet.isUnderway(child) || child.lost || child.overdue, `${child.id} is underway in what is completed`);
  }
  if (plan.locations.by !== 'child' && !fleet.isDirect)
    for (const id of fleet.order()) must(hadTurn.includes(id), `${id} has had its turn`);
}
