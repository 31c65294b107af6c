/**
 * A poll as children send it, checked without a schema; null for anything that isn't plainly right: the schema in child.ts
 * decides on that. A property test holds the two against each other.
 */
import { areaFault, type Position, type Rings } from '#domain/child/area.ts';
import { CHILD_ID } from '#domain/ids.ts';
import { isObject, parseObject } from './plain.ts';

export type Poll = { id: string; area: Rings; childCount: number };

const MOST_CHILDREN = 1e9;

const isPosition = (point: unknown): point is Position =>
  Array.isArray(point) && point.length >= 2 && point.every((n) => Number.isFinite(n));

const isRings = (value: readonly unknown[]): value is Rings =>
  value.every((ring) => Array.isArray(ring) && ring.every(isPosition));

export function plainPoll(text: string): Poll | null {
  const body = parseObject(text);
  if (body === null) return null;
  const { id, geographic_area: area, number_of_children: childCount } = body;
  if (typeof id !== 'string' || (id !== '' && !CHILD_ID.test(id))) return null;
  if (!Number.isInteger(childCount) || (childCount as number) < 0 || (childCount as number) > MOST_CHILDREN)
    return null;
  if (!isObject(area)) return null;
  const { type, coordinates } = area;
  if (type !== 'Polygon' || !Array.isArray(coordinates)) return null;
  if (!isRings(coordinates) || areaFault(coordinates) !== null) return null;
  return { id, area: coordinates, childCount: childCount as number };
}
