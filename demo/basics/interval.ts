/** Two values that enclose a median. */
export interface Interval {
  median: number;
  low: number;
  high: number;
}

/** Least probability that the interval contains the median. */
export const CONFIDENCE = 0.93;
/** Least number of values whose extremes enclose the median with that probability. */
export const LEAST_VALUES = 5;
/** Share of the median: a narrower interval counts as one number. */
const WIDE = 0.1;

/**
 * The median of `values`, and two of them that enclose the true median for any distribution: the number of values below
 * it is distributed like the heads in an equal number of coin tosses. Undefined for too few values.
 */
export function medianInterval(values: readonly number[]): Interval | undefined {
  const count = values.length;
  if (count < LEAST_VALUES) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? NaN;
  // Skips as many outermost values on each side as the probability allows.
  let left = 0;
  let ways = 1; // ways in which that many of `count` coins show heads
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

/** The median of a narrow interval, else its ends; a shared unit after a space appears once. */
export function formatInterval(interval: Interval, format: (value: number) => string): string {
  if (!isWide(interval)) return format(interval.median);
  const [low, high] = [format(interval.low), format(interval.high)];
  const unit = / .*$/.exec(high)?.[0] ?? '';
  return `${unit !== '' && low.endsWith(unit) ? low.slice(0, -unit.length) : low}–${high}`;
}
