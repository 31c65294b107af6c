/**
 * Values of a plan in both spellings: in JSON numbers and booleans are such, in release.yml all are text. A schema knows the
 * JSON one, which is the one that the OpenAPI document shows.
 */
import { z } from 'zod';
import { parseGoDuration } from '#domain/duration.ts';

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const NO_DURATION = 'is no duration such as 10s or 1h30m';
const SHARE = 'is a share from 0 to 100';

const asNumber = (given: unknown): unknown => (typeof given === 'string' && NUMBER.test(given) ? Number(given) : given);
const asText = (given: unknown): unknown => (typeof given === 'number' ? String(given) : given);
const asBoolean = (given: unknown): unknown => (given === 'true' || given === 'false' ? given === 'true' : given);

export const number = (message: string) => z.preprocess(asNumber, z.number(message));

export const whole = (message: string, min: number, max: number = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(asNumber, z.int(message).min(min, message).max(max, message));

/** A percentage becomes a share from 0 to 1. */
export const share = z
  .preprocess(asNumber, z.number(SHARE).min(0, SHARE).max(100, SHARE))
  .transform((percent) => percent / 100);

export const boolean = z.preprocess(asBoolean, z.boolean('is true or false'));

export const text = (message: string, pattern: RegExp) =>
  z.preprocess(asText, z.string(message).regex(pattern, message));

/** In whole milliseconds. */
export const duration = z
  .preprocess(asText, z.string(NO_DURATION).meta({ example: '1h30m' }))
  .transform(parseGoDuration)
  .refine((ms) => ms !== null && ms >= 0, NO_DURATION)
  .transform((ms) => Math.round(ms ?? 0));

const quoted = (given: unknown): string => (typeof given === 'string' ? `, not "${given}"` : '');

const orOf = (names: readonly string[]): string => `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;

export const word = <const Names extends readonly string[]>(...names: Names) =>
  z.enum(names as unknown as [...Names], { error: ({ input }) => `is ${orOf(names)}${quoted(input)}` });

/** `forms`: all of them, as a person would say it. */
export const oneOf = <const Options extends readonly z.ZodType[]>(forms: string, ...options: Options) =>
  z.union(options, { error: ({ input }) => `is ${forms}${quoted(input)}` });

/** No other keys: one that is misspelt would be ignored otherwise. */
export const mapping = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) =>
      code === 'unrecognized_keys' ? `is no key here: there are ${Object.keys(shape).join(', ')}` : 'is no mapping',
  });
