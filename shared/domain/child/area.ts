/** A child's area: the coordinates of a GeoJSON Polygon (RFC 7946), rings of [longitude, latitude] in degrees. */
export type Position = readonly [number, number, ...number[]];
export type Rings = readonly (readonly Position[])[];

const MAX_POINTS = 500;
/** Longitudes may go on past 180: an area across the antimeridian needn't jump. */
const LONGITUDE = [-180, 540] as const;

/** The first fault of an area with its path, or null. */
export function areaFault(rings: Rings): { path: string; fault: string } | null {
  if (rings.length === 0) return { path: '', fault: 'a Polygon needs at least one ring' };
  if (rings.reduce((sum, ring) => sum + ring.length, 0) > MAX_POINTS)
    return { path: '', fault: `at most ${MAX_POINTS} points in all rings` };
  for (const [r, ring] of rings.entries()) {
    if (ring.length < 4) return { path: `[${r}]`, fault: 'a ring needs at least four points' };
    for (const [i, [longitude, latitude]] of ring.entries()) {
      if (!(longitude >= LONGITUDE[0] && longitude <= LONGITUDE[1]))
        return { path: `[${r}][${i}][0]`, fault: 'a longitude lies between -180 and 540' };
      if (!(Math.abs(latitude) <= 90)) return { path: `[${r}][${i}][1]`, fault: 'a latitude lies between -90 and 90' };
    }
    const [first, last] = [ring[0], ring.at(-1)];
    if (first?.[0] !== last?.[0] || first?.[1] !== last?.[1])
      return { path: `[${r}]`, fault: 'a ring is closed: its last point equals its first' };
  }
  return null;
}
