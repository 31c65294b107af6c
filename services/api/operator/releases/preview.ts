/** What a start would do: who gets it, in which order, when at the earliest, and what stands in its way. Nothing is changed. */
import { type OperatorRoute, route } from '../route.ts';
import type { Changes } from '../changes.ts';
import { preview, type PreviewView } from '#wire/operator/responses.ts';
import { tooManyLocations } from '#domain/plan/location-order.ts';
import { inRelease } from '#domain/counts/counts.ts';
import { gatedIn } from '#domain/scheduling/taken-back.ts';
import { earliestTimes } from '#simulation/earliest.ts';
import { simulatedStagesOf } from '#simulation/stages.ts';
import { ALL, type Plan, waveSize } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import type { Strategy } from '#domain/strategy/strategy.ts';
import type { Survey } from '#store/enrolment/survey-store.ts';
import { previewRequest, releaseIdParam } from '#wire/operator/requests.ts';
import { planView } from '#wire/plan/plan-view.ts';
import type { OperatorDeps } from '../deps.ts';
import { conflictsOf, planFor } from './start.ts';

const SHOWN = 1_000;
/** A plan of more steps isn't tried to its end while a request waits: its times are not known then. */
const MAX_TICKS = 20_000;

export const previewRoutes = (deps: OperatorDeps, { find }: Changes): OperatorRoute[] => [
  route({
    method: 'post',
    path: '/releases/:id/preview',
    summary: 'What a start would do, and what taking it back now would come to; nothing is changed',
    params: releaseIdParam,
    body: previewRequest,
    large: true,
    responses: { 200: { description: 'The preview; with faults, what of it is known', schema: preview } },
    problems: ['bad-request', 'not-found'],
    async handle({ params: { id }, body }) {
      const { release, rollout } = await find(id);
      const own = await deps.releases.plan(id);
      if (own === null) throw new Error(`the plan of release ${id} is gone`);
      const { plan, faults } = planFor({ given: body.plan, own, ...release }, deps.seenPrecisionMs);
      const bytes = rollout.bundleBytes;
      const [start, revert] = await Promise.all([
        plan === null ? NOTHING : previewStart(deps, { id, strategy: release.strategy, plan, bytes }),
        previewRevert(deps, rollout),
      ]);
      const view: PreviewView = {
        ...start,
        plan: plan === null ? null : planView(plan),
        faults: [...faults, ...start.faults],
        revert,
      };
      return { status: 200, body: view };
    },
  }),
];

type Start = { id: string; strategy: Strategy; plan: Plan; bytes: number };

async function previewStart(
  deps: OperatorDeps,
  { id, strategy, plan, bytes }: Start,
): Promise<Omit<PreviewView, 'plan' | 'revert'>> {
  const survey = await deps.surveys.survey(plan, deps.clock.now() - deps.freshForMs);
  const { known, silent, outside, untargeted, enrolled } = survey;
  const planned = withWaves(plan, survey);
  const times = earliest(plan, strategy, planned.locations, bytes);
  return {
    children: { known, silent, outside, untargeted, enrolled },
    looked_at: survey.lookedAt,
    locations: {
      count: planned.locations.length,
      first: planned.locations.slice(0, SHOWN).map((location) => ({
        id: location.id,
        wave: location.wave,
        children: location.members,
        opens_after_seconds: times.opens(location.wave),
        through_after_seconds: times.completes(location),
      })),
    },
    waves: {
      count: planned.waves.length,
      first: planned.waves.slice(0, SHOWN).map((wave) => ({ ...wave, opens_after_seconds: times.opens(wave.wave) })),
    },
    earliest_end_seconds: times.end,
    bytes: { each: bytes, all: bytes * enrolled },
    conflicts: await conflictsOf(id, strategy, plan, deps),
    faults: tooMany(plan, survey),
  };
}

async function previewRevert({ snapshots }: OperatorDeps, rollout: Rollout): Promise<PreviewView['revert']> {
  if (rollout.startedAt === null) return null;
  const { totals } = await snapshots.aggregates(rollout);
  const stagesOf = (type: string): number[] => rollout.stages.flatMap((stage, i) => (stage.type === type ? [i] : []));
  return {
    done: inRelease(totals, ReleaseStatus.Done),
    held: gatedIn(totals, stagesOf('WaitForSignal')),
    unreachable: gatedIn(totals, stagesOf('A/B')),
  };
}

const NOTHING: Omit<PreviewView, 'plan' | 'revert'> = {
  faults: [],
  conflicts: [],
  children: { known: 0, silent: 0, outside: 0, untargeted: 0, enrolled: 0 },
  looked_at: 1,
  locations: { count: 0, first: [] },
  waves: { count: 0, first: [] },
  earliest_end_seconds: null,
  bytes: { each: 0, all: 0 },
};

type Planned = { id: string; members: number; wave: number };

/** Which wave each location comes in. */
function withWaves(plan: Plan, { locations }: Pick<Survey, 'locations'>) {
  const planned: Planned[] = [];
  const waves: { wave: number; locations: number; children: number }[] = [];
  while (planned.length < locations.length) {
    const started = { locations: planned.length, waves: waves.length };
    const next = locations.slice(
      started.locations,
      started.locations + waveSize(plan.waves, started, locations.length),
    );
    const wave = waves.length + 1;
    for (const each of next) planned.push({ ...each, wave });
    waves.push({ wave, locations: next.length, children: next.reduce((sum, { members }) => sum + members, 0) });
  }
  return { locations: planned, waves };
}

/** Seconds after the start, if nobody fails, nobody is slow, and operators approve at once. */
function earliest(plan: Plan, strategy: Strategy, locations: readonly Planned[], bundleBytes: number) {
  const isByChild = plan.locations.by === 'child';
  const children = locations.reduce((sum, { members }) => sum + members, 0);
  const found = earliestTimes({
    plan,
    stages: simulatedStagesOf(strategy),
    locations: isByChild ? [{ id: ALL, children }] : locations.map(({ id, members }) => ({ id, children: members })),
    bundleBytes,
    maxTicks: MAX_TICKS,
  });
  const seconds = (ms: number | null | undefined): number | null => (ms == null ? null : ms / 1000);
  const byWave = new Map<number, (typeof found.locations)[number]>();
  for (const each of found.locations) if (!byWave.has(each.wave)) byWave.set(each.wave, each);
  const byId = new Map(found.locations.map((each) => [each.id, each]));
  const timesOf = ({ id, wave }: Planned) => byId.get(id) ?? (isByChild ? byWave.get(wave) : undefined);
  return {
    opens: (wave: number): number | null => seconds(byWave.get(wave)?.opensAtMs),
    completes: (location: Planned): number | null => seconds(timesOf(location)?.completesAtMs),
    end: seconds(found.endsAtMs),
  };
}

function tooMany({ locations }: Plan, survey: Survey): PreviewView['faults'] {
  const message = tooManyLocations(locations.by, survey.locations.length, false);
  return message === null ? [] : [{ path: 'plan.locations', message }];
}
