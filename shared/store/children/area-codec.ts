/**
 * Areas as Redis keeps them: coordinates in steps of 1e-7 degrees (about a centimetre), each point as its difference from
 * the one before, in variable-length integers. Five points take some 30 bytes; as JSON they take 200, and a field of more
 * than 64 bytes makes Redis keep the whole hash in its large form.
 */
import type { Rings } from '#domain/child/area.ts';

const STEPS = 1e7;
const CHUNK = 128;

export function packArea(rings: Rings): string {
  const bytes: number[] = [];
  let x = 0;
  let y = 0;
  for (const ring of rings) {
    // The last point of a ring is its first.
    put(bytes, ring.length - 1);
    for (let i = 0; i < ring.length - 1; i++) {
      const point = ring[i];
      const nextX = Math.round((point?.[0] ?? 0) * STEPS);
      const nextY = Math.round((point?.[1] ?? 0) * STEPS);
      put(bytes, zigzag(nextX - x));
      put(bytes, zigzag(nextY - y));
      x = nextX;
      y = nextY;
    }
  }
  return Buffer.from(bytes).toString('base64url');
}

export function unpackArea(text: string): number[][][] {
  const bytes = Buffer.from(text, 'base64url');
  const rings: number[][][] = [];
  let at = 0;
  const take = (): number => {
    let value = 0;
    for (let unit = 1; ; unit *= CHUNK) {
      const byte = bytes[at++] ?? 0;
      value += (byte % CHUNK) * unit;
      if (byte < CHUNK) return value;
    }
  };
  let x = 0;
  let y = 0;
  while (at < bytes.length) {
    const ring = Array.from({ length: take() }, () => {
      x += unzigzag(take());
      y += unzigzag(take());
      return [x / STEPS, y / STEPS];
    });
    const [first] = ring;
    rings.push(first === undefined ? ring : [...ring, [...first]]);
  }
  return rings;
}

/** Longitudes reach 5.4e9 steps: more than the 32 bits of JavaScript's bit operations. */
const zigzag = (n: number): number => (n < 0 ? -2 * n - 1 : 2 * n);
const unzigzag = (n: number): number => (n % 2 === 0 ? n / 2 : -(n + 1) / 2);

function put(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= CHUNK) {
    bytes.push((rest % CHUNK) + CHUNK);
    rest = Math.floor(rest / CHUNK);
  }
  bytes.push(rest);
}
