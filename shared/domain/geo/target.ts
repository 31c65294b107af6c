/** Whether a child gets a release, and whether two releases may be meant for the same child. */
import type { Rings } from '#domain/child/area.ts';
import type { Target } from '#domain/plan/plan.ts';
import { share01 } from './hash.ts';
import { intersects, isWithin, shapeOf, soundShapeOf, touches } from './polygons.ts';

type Child = { id: string; area: Rings };
type Share = Extract<Target, { kind: 'share' }>;

const isOfShare = ({ share, seed }: Share, id: string): boolean => share01(`${seed} ${id}`) < share;

/** Made once for many children. */
export function createTarget(target: Target): (child: Child) => boolean {
  switch (target.kind) {
    case 'everyone':
      return () => true;
    case 'intersects':
    case 'within': {
      const [shape, meets] = [soundShapeOf(target.area), target.kind === 'within' ? isWithin : intersects];
      return ({ area }) => meets(shapeOf(area), shape);
    }
    case 'children': {
      const ids = new Set(target.ids);
      return ({ id }) => ids.has(id);
    }
    case 'share':
      return ({ id }) => isOfShare(target, id);
    case 'done':
      // Whether a child is Done with the other release is in its record: the job that reads the records finds only these.
      return () => true;
  }
}

const isNobody = (target: Target): boolean =>
  (target.kind === 'children' && target.ids.length === 0) || (target.kind === 'share' && target.share <= 0);

/** Whether two targets may have a child in common: false only where it is certain that they haven't. */
export function mayOverlap(a: Target, b: Target): boolean {
  if (isNobody(a) || isNobody(b)) return false;
  if (b.kind === 'children' && a.kind !== 'children') return mayOverlap(b, a);
  if (a.kind === 'children') {
    if (b.kind !== 'children' && b.kind !== 'share') return true;
    const ids = b.kind === 'children' ? new Set(b.ids) : null;
    return a.ids.some((id) => (b.kind === 'share' ? isOfShare(b, id) : ids?.has(id)));
  }
  // A child within the one area has nothing of another that is apart from it. But without a `within`, a child may be so
  // large that it meets both.
  if (!('area' in a && 'area' in b) || (a.kind === 'intersects' && b.kind === 'intersects')) return true;
  return touches(soundShapeOf(a.area), soundShapeOf(b.area));
}
