import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pollDigest } from '#services/api/child/poll-digest.ts';

const id = fc.stringMatching(/^[A-Za-z0-9._:-]{1,40}$/);
const body = (of: string, area: string): string => `{"id":"${of}","geographic_area":${area},"number_of_children":0}`;

describe('the digest of a poll', () => {
  it('is the same for a first poll without an id and the next ones with the id that was given', () => {
    fc.assert(
      fc.property(id, fc.json(), (given, area) => {
        // An id that stands elsewhere in the text as well only costs its child one more write.
        fc.pre(!body('', area).includes(`"${given}"`));
        expect(pollDigest(body(given, area), given)).toBe(pollDigest(body('', area), given));
      }),
    );
  });

  it('differs with any change of the rest', () => {
    fc.assert(
      fc.property(id, fc.json(), fc.nat(), (given, area, at) => {
        const text = body(given, area);
        const i = at % text.length;
        const other = `${text.slice(0, i)}${text[i] === 'x' ? 'y' : 'x'}${text.slice(i + 1)}`;
        const start = text.indexOf(`"${given}"`);
        fc.pre(i <= start || i > start + given.length);
        expect(pollDigest(other, given)).not.toBe(pollDigest(text, given));
      }),
      { numRuns: 2_000 },
    );
  });
});
