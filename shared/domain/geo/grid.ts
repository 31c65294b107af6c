/**
 * The globe in cells that are about square: rows of equal height, and in each row as many columns as fit round it. Every
 * point lies in exactly one cell, and a cell's id says where: `n52.6e13.3` is the one around 52.6 N, 13.3 E.
 *
 * Own, as the cells of @turf/square-grid are equally wide in degrees, so narrow near the poles, leave out the poles and a
 * strip at 180 degrees, and have no ids (ADR 17).
 */
import { normalLongitude, type Point } from './rings.ts';
import { KM_PER_DEGREE } from './sphere.ts';

const ID = /^([ns])(\d+(?:\.\d+)?)([ew])(\d+(?:\.\d+)?)$/;

function cellAround([longitude, latitude]: Point, cellKm: number): Point {
  const rows = Math.max(1, Math.round((180 * KM_PER_DEGREE) / cellKm));
  const row = Math.max(0, Math.min(rows - 1, Math.floor(((latitude + 90) / 180) * rows)));
  const y = -90 + ((row + 0.5) * 180) / rows;
  const round = 360 * KM_PER_DEGREE * Math.cos((y * Math.PI) / 180);
  const columns = Math.max(1, Math.round(round / cellKm));
  const column = Math.min(columns - 1, Math.floor(((normalLongitude(longitude) + 180) / 360) * columns));
  return [-180 + ((column + 0.5) * 360) / columns, y];
}

/** As few decimals as tell neighbours apart: rounded by them, a cell's middle still lies in the cell. */
function decimals(cellKm: number): number {
  let digits = 0;
  while (10 ** -digits > cellKm / KM_PER_DEGREE / 2) digits++;
  return digits;
}

export function cellOf(point: Point, cellKm: number): string {
  const [x, y] = cellAround(point, cellKm);
  const digits = decimals(cellKm);
  const [longitude, latitude] = [Math.abs(x).toFixed(digits), Math.abs(y).toFixed(digits)];
  return `${y < 0 ? 's' : 'n'}${latitude}${x < 0 ? 'w' : 'e'}${longitude}`;
}

/** Null for what is no cell's id. */
export function cellMiddle(id: string, cellKm: number): Point | null {
  const [, ns, latitude, ew, longitude] = ID.exec(id) ?? [];
  if (latitude === undefined || longitude === undefined) return null;
  const point: Point = [Number(longitude) * (ew === 'w' ? -1 : 1), Number(latitude) * (ns === 's' ? -1 : 1)];
  return cellOf(point, cellKm) === id ? cellAround(point, cellKm) : null;
}
