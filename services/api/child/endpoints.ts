/**
 * The three endpoints that a fleet calls every second, as functions from a body's text to the answer's text. The router
 * and the hot path (hot.ts) both answer by these.
 */
import type { ChildDeps } from './deps.ts';
import { createEndStage } from './end-stage.ts';
import { createPoll } from './poll.ts';
import { createResult } from './result.ts';
import type { Kind } from '../load-guard.ts';
import type { Gone } from '../waiting.ts';

/** The answer's text, empty for none; null: this one can't tell. */
export type Answer = (text: string, gone: Gone) => Promise<string | null>;

export type Endpoint = {
  path: string;
  /** How soon it's refused under load. */
  kind: Kind;
  /** Answers any request, or throws what is wrong with it. */
  answer(text: string, gone: Gone): Promise<string>;
  /** Answers some requests from memory: tried first. */
  instantly(text: string): string | null;
  /** Answers most requests with less work: tried next. */
  quick: Answer;
  /** Seconds after which a cooperative child asks again, or null. */
  askAgain: (() => string) | null;
};

const never = (): null => null;

export function childEndpoints(deps: ChildDeps): Endpoint[] {
  const poll = createPoll(deps);
  const { answer: endStage, remembered } = createEndStage(deps);
  const { answer: result } = createResult(deps);
  return [
    {
      path: '/poll',
      kind: 'poll',
      instantly: never,
      answer: poll.any,
      quick: poll.known,
      askAgain: deps.steering.poll,
    },
    {
      path: '/end_stage',
      kind: 'endStage',
      instantly: remembered,
      answer: endStage,
      quick: endStage,
      askAgain: deps.steering.endStage,
    },
    { path: '/result', kind: 'result', instantly: never, answer: result, quick: result, askAgain: null },
  ];
}
