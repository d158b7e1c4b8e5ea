import { quantile } from '../src/engine/statistics.ts';

export interface Estimate {
  median: number;
  /** 95 % interval of the median, by bootstrap. */
  interval: [number, number];
}

const RESAMPLES = 2000;

/** The median of `values` and how far it may be trusted; the same values give the same interval. */
export function estimate(values: readonly number[]): Estimate {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? 0)),
  );
  return { median: median(values), interval: [quantile(medians, 0.025), quantile(medians, 0.975)] };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export const format = ({ median, interval: [low, high] }: Estimate): string =>
  `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
