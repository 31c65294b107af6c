/** The check of polls without a schema says nothing that the schema doesn't. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check, pollRequest } from '#wire/child/requests.ts';
import { plainPoll } from '#wire/child/plain-poll.ts';
import { BERLIN_AREA } from '#test/harness/manager/child-client.ts';

const odd = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', '1', -1, 1.5, 1e10, [], {}, 'ä', 'a b', 'x'.repeat(129)),
  fc.jsonValue({ maxDepth: 2 }),
);
/** Right as a rule, now and then anything. */
const mostly = <T>(good: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: odd });
const position = fc.array(mostly(fc.double({ min: -190, max: 550, noNaN: true })), { minLength: 1, maxLength: 4 });
const ring = fc
  .array(mostly(position), { minLength: 2, maxLength: 6 })
  .chain((points) => fc.constantFrom([...points, points[0]], points));
const coordinates = fc.oneof(fc.constant(BERLIN_AREA.coordinates), fc.array(mostly(ring), { maxLength: 3 }));
const body = fc.record(
  {
    id: mostly(fc.oneof(fc.constant(''), fc.stringMatching(/^[A-Za-z0-9._:-]{1,20}$/), fc.nat())),
    geographic_area: mostly(fc.record({ type: mostly(fc.constant('Polygon')), coordinates: mostly(coordinates) })),
    number_of_children: mostly(fc.nat(1e9)),
    more: fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: [] },
);

describe('a poll, checked without a schema', () => {
  it('is what the schema makes of it, or is left to the schema', () => {
    let plain = 0;
    fc.assert(
      fc.property(mostly(body), (value) => {
        const text = JSON.stringify(value) ?? '';
        const quick = plainPoll(text);
        if (quick === null) return;
        plain++;
        expect(check(pollRequest, JSON.parse(text))).toEqual({ data: quick });
      }),
      { numRuns: 3_000 },
    );
    expect(plain).toBeGreaterThan(50);
  });

  it.each(['', 'no', '[]', 'null', '"text"', '{"id":"a"', '{"id":"a","geographic_area":null,"number_of_children":0}'])(
    '%j is left to the schema',
    (text) => {
      expect(plainPoll(text)).toBeNull();
    },
  );

  it('takes what agents send, with an id and without one yet', () => {
    for (const id of ['', '7cb606ee-fde1-4b2c-bffc-20f558fc2867'])
      expect(plainPoll(JSON.stringify({ id, geographic_area: BERLIN_AREA, number_of_children: 0 }))).toEqual({
        id,
        area: BERLIN_AREA.coordinates,
        childCount: 0,
      });
  });
});
