/** The laws of spreading, each recounted from the children themselves: a watcher that throws where one is broken. */
import { checkBudgets, checkStopping } from './laws/budgets.ts';
import { checkCompletion } from './laws/completion.ts';
import { checkGates, checkPassing, noteMet } from './laws/gates.ts';
import { checkRates, noteRates } from './laws/rates.ts';
import { must, newLawState } from './laws/state.ts';
import { checkKnown, checkOpening, noteOpen } from './laws/waves.ts';
import { type Fault, type Played, type Scenario, type Watcher } from './play.ts';

export type Laws = Watcher & { ended(played: Played): void };

/** Children that are enrolled later than was decided say nothing of the rate. */
const isDelayed = (fault: Fault): boolean => fault === 'effects half' || fault === 'effects late';

export function createLaws(scenario: Scenario): Laws {
  const state = newLawState(scenario);
  const hasDelays = scenario.faults.some(isDelayed);
  return {
    second(moment) {
      noteMet(state, moment);
      noteOpen(state, moment.rollout, moment.now);
      noteRates(state, moment);
    },
    decided(decision) {
      const { before, after, fleet, now } = decision;
      noteMet(state, { rollout: before, fleet, now });
      checkStopping(state, decision);
      checkKnown(state, decision);
      checkGates(state, decision);
      checkOpening(state, decision);
      checkCompletion(state, decision);
      noteOpen(state, after, now);
    },
    settled(moment) {
      checkBudgets(state, moment);
      if (!hasDelays) checkRates(state, moment);
      checkPassing(state, moment);
    },
    ended({ rollout, waits, isStill }) {
      must(isStill, 'it never comes to a standstill');
      const isOver = ['completed', 'aborted', 'reverted'].includes(rollout.state);
      must(isOver || waits.length > 0, `it stands still in ${rollout.state}, and nobody is told why`);
    },
  };
}
