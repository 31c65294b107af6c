/**
 * Documents of schema 4 as documents of schema 5. Only names change, but for the gates of locations that have completed: schema 4
 * noted those that had opened, schema 5 those that never did. A document that is of schema 5 already stays as it is.
 */
type Document = Readonly<Record<string, unknown>>;
type Names = Readonly<Record<string, string>>;

const ROLLOUT: Names = { tag: 'shortId', closed: 'completed', aside: 'withdrawn', shut: 'neverOpened' };
const OPEN_LOCATION: Names = { since: 'enteredAt', met: 'metSince' };
const PLAN: Names = { releaseHeld: 'openGatesOnRevert' };
const EFFECT_KINDS: Names = { order: 'assign' };

const renameKeys = (document: Document, names: Names): Document =>
  Object.fromEntries(Object.entries(document).map(([key, value]) => [names[key] ?? key, value]));

export const migratePlan = (plan: Document): Document => renameKeys(plan, PLAN);

export function migrateRollout(document: Document): Document {
  if (!('tag' in document)) return document;
  const signalled = (document['stages'] as { type: string }[]).flatMap(({ type }, i) =>
    type === 'WaitForSignal' ? [i] : [],
  );
  const shut = document['shut'] as { n: number; gates: number[] }[];
  return {
    ...renameKeys(document, ROLLOUT),
    plan: migratePlan(document['plan'] as Document),
    open: (document['open'] as Document[]).map((location) => renameKeys(location, OPEN_LOCATION)),
    neverOpened: shut.map(({ n, gates }) => ({ n, stages: signalled.filter((stage) => !gates.includes(stage)) })),
    effects: (document['effects'] as { kind: string }[]).map((effect) => ({
      ...effect,
      kind: EFFECT_KINDS[effect.kind] ?? effect.kind,
    })),
  };
}
