/** What Redis keeps in packed form, there and back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position } from '#domain/child/area.ts';
import { FLAG_SUMS } from '#domain/child/flags.ts';
import { NO_NEXT } from '#domain/child/report.ts';
import { REPORTED } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { decodeMessage, encodeMessage, type QueuedMessage } from '#queue/message.ts';
import { packArea, unpackArea } from '#store/children/area-codec.ts';
import { formatHead, parseHead } from '#store/children/record-codec.ts';

const STEP = 1e-7;
const position = fc.tuple(
  fc.double({ min: -180, max: 540, noNaN: true }),
  fc.double({ min: -90, max: 90, noNaN: true }),
) as fc.Arbitrary<Position>;
const ring = fc.array(position, { minLength: 3, maxLength: 60 }).map((points) => [...points, points[0] ?? [0, 0]]);

describe('areas', () => {
  it('come back to within half a step of 1e-7 degrees, ring by ring', () => {
    fc.assert(
      fc.property(fc.array(ring, { minLength: 1, maxLength: 4 }), (rings) => {
        const back = unpackArea(packArea(rings));
        expect(back.map((each) => each.length)).toEqual(rings.map((each) => each.length));
        for (const [r, points] of rings.entries())
          for (const [i, [longitude, latitude]] of points.entries()) {
            expect(Math.abs((back[r]?.[i]?.[0] ?? NaN) - longitude)).toBeLessThanOrEqual(STEP * 0.51);
            expect(Math.abs((back[r]?.[i]?.[1] ?? NaN) - latitude)).toBeLessThanOrEqual(STEP * 0.51);
          }
      }),
    );
  });

  it('of five points stay in the small form of a Redis hash: at most 64 characters', () => {
    fc.assert(
      fc.property(
        position,
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 6, maxLength: 6 }),
        (first, d) => {
          const [x, y] = [first[0], first[1] / 2];
          const at = (i: number): Position => [x + (d[2 * i] ?? 0), y + (d[2 * i + 1] ?? 0)];
          const corner: Position = [x, y];
          expect(packArea([[corner, at(0), at(1), at(2), corner]]).length).toBeLessThanOrEqual(64);
        },
      ),
    );
  });
});

describe('heads of records', () => {
  const digits = fc.array(fc.nat(6), { minLength: 1, maxLength: 64 }).map((all) => all.join(''));
  const token = fc.oneof(
    fc.constantFrom('', 'all'),
    fc
      .tuple(fc.constantFrom('', '+'), fc.integer({ min: 1, max: 1e6 }), fc.string({ unit: 'grapheme', maxLength: 40 }))
      .map(([late, n, id]) => `${late}${n}/${id}`),
  );
  const head = fc.record({
    status: fc.constantFrom(1, 2, 3, 4),
    attempt: fc.integer({ min: 1, max: 99 }),
    epoch: fc.nat(99),
    lastMessage: fc.nat(2 ** 42),
    statuses: digits,
    finals: digits,
    flags: fc.nat(FLAG_SUMS - 1),
    promotedUpTo: fc.nat(64),
    token,
  });

  it('come back as they were, with the location that the membership names', () => {
    fc.assert(
      fc.property(head, (each) => {
        const { membership, ...back } = parseHead(formatHead(each), 'the-child') ?? fail();
        expect(back).toEqual(each);
        const of = /^(\+?)(\d+)\/(.*)$/s.exec(each.token);
        const alone = each.token === '' ? ['the-child', 0, false] : ['all', 1, false];
        const { id, n, late } = membership;
        expect([id, n, late]).toEqual(of === null ? alone : [of[3], Number(of[2]), of[1] === '+']);
      }),
    );
  });

  it.each([null, undefined, ''])('are none where nothing is: %j', (text) => {
    expect(parseHead(text, 'c')).toBeNull();
  });

  it.each(['1 1 1 0 000 000 all', 'x', '1 1 1 0 000 000 0'])('are refused in another form: %j', (text) => {
    expect(() => parseHead(text, 'c')).toThrow('the record of child c is none');
  });
});

function fail(): never {
  throw new Error('there is none');
}

const childId = fc.stringMatching(/^[A-Za-z0-9._:-]{1,40}$/);
const digest = fc.stringMatching(/^[0-9a-f]{12}$/);
const at = fc.integer({ min: 1, max: 2 ** 42 });
const releaseId = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const shortId = fc.nat().map(String);
const number = fc.oneof(fc.constant(-1), fc.double({ min: 0, max: 1e9, noNaN: true }));
const message: fc.Arbitrary<QueuedMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('join' as const),
    id: childId,
    at,
    area: fc.stringMatching(/^[A-Za-z0-9_-]{1,60}$/),
    digest: fc.stringMatching(/^[A-Za-z0-9_-]{12}$/),
    childCount: fc.nat(1e9),
  }),
  fc
    .tuple(childId, at, fc.option(fc.tuple(releaseId, shortId)), fc.constantFrom('poll' as const, 'end_stage' as const))
    .map(([id, when, about, by]) => ({
      kind: 'heartbeat' as const,
      id,
      at: when,
      release: about?.[0] ?? '',
      shortId: about?.[1] ?? '',
      by,
    })),
  fc.record({
    kind: fc.constant('result' as const),
    id: childId,
    release: releaseId,
    shortId,
    at,
    attempt: fc.integer({ min: 1, max: 99 }),
    reports: fc.array(
      fc.record({
        stage: fc.nat(63),
        status: fc.constantFrom(...REPORTED),
        next: fc.option(fc.nat(63), { nil: NO_NEXT }),
        digest,
        summary: fc.array(number, { minLength: 11, maxLength: 11 }).map(packNumbers),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  }),
);

describe('messages', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(message, (each) => {
        expect(decodeMessage(encodeMessage(each))).toEqual(each);
      }),
    );
  });

  it('hold no line break, so that a batch can be taken apart', () => {
    fc.assert(
      fc.property(message, (each) => {
        expect(encodeMessage(each)).not.toMatch(/[\r\n]/);
      }),
    );
  });

  it.each([
    '',
    'x',
    'j\tid',
    'r\tid\t1\trel\t1\t1',
    's\tid\t1\trel\t\tpoll',
    'r\tid\t1\trel\t1\t1\t0\t3\t-1\tabcdefabcdef\t1',
  ])('%j is none', (line) => {
    expect(decodeMessage(line)).toBeNull();
  });
});
