import { bootstrap } from '../../cli/statistics.ts';

export interface Estimate {
  median: number;
  /** 95 % bootstrap interval of the median. */
  interval: [number, number];
}

const RESAMPLES = 2000;

/** The median of `values` with its interval. Deterministic. */
export function estimate(values: readonly number[]): Estimate {
  const medianOf = (indices: readonly number[]): number => median(indices.map((i) => values[i] ?? 0));
  const { value, interval } = bootstrap(values.length, medianOf, { resamples: RESAMPLES });
  return { median: value, interval };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export const format = ({ median, interval: [low, high] }: Estimate): string =>
  `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
