/** GeoJSON in plans (RFC 7946): the shape of what we read of it. Other members are allowed; geography is checked elsewhere. */
import { z } from 'zod';
import type { Polygonal, Region } from '#domain/plan/plan.ts';
import { number, text } from './plan-values.ts';

const POLYGONAL = 'is a GeoJSON Polygon or MultiPolygon';
const degrees = number('is no number of degrees');
const position = z.tuple([degrees, degrees], 'is no position [longitude, latitude]').rest(degrees);
const ring = z.array(position, 'is no ring: a list of positions');
const rings = z.array(ring, 'is no list of rings');

export const polygonal = z
  .discriminatedUnion(
    'type',
    [
      z.object({ type: z.literal('Polygon'), coordinates: rings }),
      z.object({ type: z.literal('MultiPolygon'), coordinates: z.array(rings, 'is no list of polygons') }),
    ],
    POLYGONAL,
  )
  .meta({ id: 'Polygonal', description: 'A GeoJSON Polygon or MultiPolygon' })
  .transform((area): Polygonal => area);

export const point = z.tuple([degrees, degrees], 'is no position [longitude, latitude]');

const name = text('is no name', /./su);
const nameOf = (id: string | undefined, properties: { name?: string | null | undefined } | null | undefined) =>
  properties?.name ?? id;
const feature = z
  .object(
    {
      type: z.literal('Feature', 'is "Feature"'),
      id: name.optional(),
      properties: z.object({ name: name.nullish() }, 'is no mapping').nullish(),
      geometry: polygonal,
    },
    'is no GeoJSON Feature',
  )
  .refine(({ id, properties }) => nameOf(id, properties) !== undefined, {
    message: 'has no name: give it properties.name, or an id',
    // Beside faults elsewhere in it, too.
    when: ({ issues }) => issues.every(({ path: [key] = [] }) => key === 'type' || key === 'geometry'),
  })
  .transform(({ id, properties, geometry }): Region => ({ name: nameOf(id, properties) ?? '', area: geometry }));

export const regions = z
  .object(
    {
      type: z.literal('FeatureCollection', 'is "FeatureCollection"'),
      features: z.array(feature, 'is no list of features'),
    },
    'is no GeoJSON FeatureCollection',
  )
  .meta({ id: 'Regions', description: 'A GeoJSON FeatureCollection; each feature has a name and is polygonal' })
  .transform(({ features }): Region[] => features);
