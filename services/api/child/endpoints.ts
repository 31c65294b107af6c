/**
 * The three endpoints that a fleet calls every second, as functions from a body's text to the answer's text. The router
 * and the hot path (hot-path.ts) both answer by these.
 */
import type { ChildDeps } from './deps.ts';
import { createEndStage, NO } from './end-stage.ts';
import { createPoll } from './poll.ts';
import { createResult } from './result.ts';
import type { Kind } from '../overload/load-guard.ts';
import type { OnGone } from '../long-poll/long-poll.ts';

export type Endpoint = {
  path: string;
  /** How soon it's refused under load. */
  kind: Kind;
  /** The text of the answer, empty for none; or throws what is wrong with the request. */
  answer(text: string, onGone: OnGone): Promise<string>;
  /** The same from memory, for some requests: tried first. */
  instantly(text: string): string | null;
  /** Seconds after which a cooperative child asks again; null where the answer gives it something to do. */
  askAgain(body: string): string | null;
};

const never = (): null => null;
const NO_RELEASE = '"new_release":""}';

export function childEndpoints(deps: ChildDeps): Endpoint[] {
  const { answer: poll } = createPoll(deps);
  const { answer: endStage, remembered } = createEndStage(deps);
  const { answer: result } = createResult(deps);
  return [
    {
      path: '/poll',
      kind: 'poll',
      instantly: never,
      answer: poll,
      askAgain: (body) => (body.endsWith(NO_RELEASE) ? deps.steering.poll() : null),
    },
    {
      path: '/end_stage',
      kind: 'endStage',
      instantly: remembered,
      answer: endStage,
      askAgain: (body) => (body === NO ? deps.steering.endStage() : null),
    },
    { path: '/result', kind: 'result', instantly: never, answer: result, askAgain: never },
  ];
}
