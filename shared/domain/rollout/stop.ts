/** How a rollout, or one location of it, is stopped: aborted, or taken back. */
import { type OpenLocation, type Rollout, signalledStages, type WithdrawnLocation } from './rollout.ts';

/**
 * One write withdraws every offer: the epoch grows, so that pending releases and enrolment jobs of the old one are void. Why
 * it was halted stays part of the reason: operators who read it later want to know what went wrong, not only who stopped it.
 */
export function abortRollout(rollout: Rollout, now: number, given: string): Rollout {
  return {
    ...rollout,
    state: 'aborted',
    reason: reasonWith(rollout, given),
    epoch: rollout.epoch + 1,
    endedAt: now,
    // What is being taken back is taken back all the same.
    effects: rollout.effects.filter(({ kind }) => kind === 'compensate'),
  };
}

const LOST_AFTER_MS = 10 * 60_000;

/** Taking it back: nobody more gets it, and children that are Done get the version from before. */
export function revertRollout(rollout: Rollout, now: number, given: string, openGates: boolean): Rollout {
  const next: Rollout = {
    ...rollout,
    state: 'reverting',
    reason: reasonWith(rollout, given),
    epoch: rollout.epoch + 1,
    endedAt: now,
    // A child that is silent for good must not keep the revert from its end.
    plan: { ...rollout.plan, openGatesOnRevert: openGates, lostAfterMs: rollout.plan.lostAfterMs ?? LOST_AFTER_MS },
    effects: [{ kind: 'compensate', location: null }],
  };
  return openGates ? openAllGates(next) : next;
}

/** Every gate opens, so that children that wait at one pass it and can be reached. */
export function openAllGates(rollout: Rollout): Rollout {
  const gates = signalledStages(rollout);
  return {
    ...rollout,
    state: 'reverting',
    plan: { ...rollout.plan, openGatesOnRevert: true },
    open: rollout.open.map((each) => ({ ...each, gates })),
    withdrawn: rollout.withdrawn.map((each) => ({ ...each, gates })),
    neverOpened: [],
  };
}

function reasonWith({ state, reason }: Rollout, given: string): string {
  return state === 'halted' && reason !== null ? `${given} (it was halted: ${reason})` : given;
}

/** `openGates`: by default as the plan has it; counts for a location that is taken back. */
export type Withdrawal = Pick<WithdrawnLocation, 'as' | 'reason'> & { openGates?: boolean };

/** Takes an open location out of the rollout: no child in it is offered the release any more. */
export function withdrawLocation(
  rollout: Rollout,
  { id, n, children, members, gates: opened }: OpenLocation,
  { as, reason, openGates = rollout.plan.openGatesOnRevert }: Withdrawal,
  now: number,
): Rollout {
  const gates = as === 'reverting' && openGates ? signalledStages(rollout) : opened;
  const open = rollout.open.filter((each) => each.id !== id);
  const withdrawn: WithdrawnLocation = { id, n, as, reason, children: children ?? members ?? 0, gates };
  return {
    ...rollout,
    open,
    waveEndedAt: open.length === 0 ? now : rollout.waveEndedAt,
    withdrawn: [...rollout.withdrawn, withdrawn],
    effects: [
      ...rollout.effects.filter((effect) => effect.kind !== 'enrol' || effect.location !== id),
      ...(as === 'reverting' ? [{ kind: 'compensate', location: id } as const] : []),
    ],
  };
}
