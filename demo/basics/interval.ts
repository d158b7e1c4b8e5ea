/** Between which values a median lies. */
export interface Interval {
  median: number;
  low: number;
  high: number;
}

/** With what probability an interval holds the median, at least. */
export const CONFIDENCE = 0.93;
/** Of fewer not even the least and the greatest enclose the median so surely. */
export const LEAST_VALUES = 5;
/** Of the median: a narrower interval is as good as one number. */
const WIDE = 0.1;

/**
 * The median of `values`, and two of them that enclose the median of all values that might have been measured, however
 * those are distributed: how many of `values` lie below it is as how many of so many coins show heads. Undefined where
 * there are too few.
 */
export function medianInterval(values: readonly number[]): Interval | undefined {
  const count = values.length;
  if (count < LEAST_VALUES) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? NaN;
  // As many of the outermost as may be left out on each side.
  let left = 0;
  let ways = 1; // in which so many coins of `count` show heads
  for (let tail = ways; 2 * tail <= (1 - CONFIDENCE) * 2 ** count; tail += ways) {
    left++;
    ways = (ways * (count - left + 1)) / left;
  }
  return {
    median: (at(Math.floor((count - 1) / 2)) + at(Math.ceil((count - 1) / 2))) / 2,
    low: at(left - 1),
    high: at(count - left),
  };
}

export const isWide = ({ median, low, high }: Interval): boolean => high - low > WIDE * median;

/** The median where the interval is narrow, else its ends; a unit behind a space is said once. */
export function formatInterval(interval: Interval, format: (value: number) => string): string {
  if (!isWide(interval)) return format(interval.median);
  const [low, high] = [format(interval.low), format(interval.high)];
  const unit = / .*$/.exec(high)?.[0] ?? '';
  return `${unit !== '' && low.endsWith(unit) ? low.slice(0, -unit.length) : low}–${high}`;
}
