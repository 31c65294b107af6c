const UNITS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };
/** Go counts nanoseconds in 63 bits. */
const LARGEST_MS = 2 ** 63 / 1e6;
const GO_DURATION = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;

/** A Go duration (`10s`, `1h30m`, `1.5s`) in milliseconds, as `time.ParseDuration` reads it; null if it isn't one. */
export function parseGoDuration(text: string): number | null {
  if (!GO_DURATION.test(text)) return null;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g))
    ms += Number(number) * (UNITS[unit ?? ''] ?? 0);
  if (ms > LARGEST_MS) return null;
  return text.startsWith('-') ? -ms : ms;
}

/** A duration as people write it (`1h30m`, `10s`, `0s`); below a millisecond it is rounded. */
export function durationText(ms: number): string {
  let left = Math.round(ms);
  const parts = (['h', 'm', 's', 'ms'] as const).map((unit) => {
    const size = UNITS[unit] ?? 1;
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? '' : `${count}${unit}`;
  });
  return parts.join('') || '0s';
}
