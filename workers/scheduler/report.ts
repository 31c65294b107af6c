/** What a tick changed, for the log. */
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { Logger } from '#runtime/log.ts';

export function createReporter(log: Logger) {
  function reportLocations(before: Rollout, after: Rollout): void {
    const { release, version } = after;
    const known = new Map(before.open.map((location) => [location.id, location]));
    for (const { id, gates, held } of after.open) {
      const was = known.get(id);
      for (const gate of gates)
        if (!(was?.gates ?? []).includes(gate))
          log.info({ release, version, location: id, stage: after.stages[gate]?.name }, 'gate opened');
      if (held !== undefined && was?.held === undefined)
        log.warn({ release, version, location: id, reason: held }, 'location held: the others go on');
    }
    const withdrawn = new Map(before.withdrawn.map((each) => [each.n, each.as]));
    for (const { id, n, as, reason } of after.withdrawn)
      if (withdrawn.get(n) !== as) log.warn({ release, version, location: id, as, reason }, 'location withdrawn');
  }

  return (before: Rollout, after: Rollout): void => {
    if (before === after) return;
    const { release, version, state, reason, started, open } = after;
    if (before.state !== state) log.info({ release, version, from: before.state, state, reason }, 'rollout changed');
    if (before.started.waves !== started.waves)
      log.info({ release, version, wave: started.waves, locations: open.length }, 'wave started');
    reportLocations(before, after);
  };
}
