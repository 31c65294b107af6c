/**
 * When a cooperative child is to ask again, in seconds (`Retry-After`): with jitter, so that a fleet that was started
 * together spreads out, and later the higher the load is. Agents that know nothing of it keep their own pace.
 */
import type { LoadGuard } from './load-guard.ts';

const JITTER = 0.25;
/** At the limit of the load children come so many times more rarely. */
const WIDEST = 20;
const ASK_AGAIN_S = 1;
/** Values made ahead; a request takes the next one. */
const PREPARED = 64;

const STEP = 37;

function prepare(seconds: number, pressure: number): string[] {
  const widened = seconds * (1 + (WIDEST - 1) * pressure * pressure);
  return Array.from({ length: PREPARED }, (_, i) => {
    const factor = 1 - JITTER + (2 * JITTER * i) / (PREPARED - 1);
    return String(Math.max(1, Math.round(widened * factor)));
  });
}

export type Steering = { poll(): string; endStage(): string; refused(): string };

/** `pollSeconds`: between polls of an idle fleet under no load. */
export function createSteering(load: Pick<LoadGuard, 'pressure'>, pollSeconds: number): Steering {
  const spread = (seconds: number): (() => string) => {
    let values: string[] = [];
    let turn = 0;
    return () => {
      // A step that meets every value, and none twice before it has.
      turn = (turn + STEP) % PREPARED;
      if (turn === 0 || values.length === 0) values = prepare(seconds, Math.min(load.pressure(), 1));
      return values[turn] ?? '1';
    };
  };
  return { poll: spread(pollSeconds), endStage: spread(ASK_AGAIN_S), refused: spread(pollSeconds) };
}
