export interface Estimate {
  value: number;
  /** 95 % bootstrap interval. */
  interval: [number, number];
}

export interface BootstrapOptions {
  resamples?: number;
  /** Cases per resampled block; neighbours may depend on each other, as tokens of a text do. */
  block?: number;
}

/**
 * A statistic of `count` cases, given by their indices, with its confidence interval (percentile bootstrap, in blocks
 * as in Künsch 1989). Deterministic.
 */
export function bootstrap(
  count: number,
  statistic: (indices: readonly number[]) => number,
  { resamples = 1000, block = 1 }: BootstrapOptions = {},
): Estimate {
  const random = generator();
  const draw = (): number[] => {
    const indices: number[] = [];
    const starts = Math.max(1, count - block + 1);
    while (indices.length < count) {
      const start = Math.floor(random() * starts);
      for (let i = 0; i < block && indices.length < count; i++) indices.push(start + i);
    }
    return indices;
  };
  const values = Array.from({ length: resamples }, () => statistic(draw())).sort((a, b) => a - b);
  const at = (share: number): number => values[Math.min(resamples - 1, Math.floor(share * resamples))] ?? NaN;
  const all = Array.from({ length: count }, (_, i) => i);
  return { value: statistic(all), interval: [at(0.025), at(0.975)] };
}

/** Spearman's rank correlation, ties at their mean rank; 0 if one side is constant. */
export function spearman(x: readonly number[], y: readonly number[]): number {
  return pearson(ranks(x), ranks(y));
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

export const formatEstimate = ({ value, interval: [low, high] }: Estimate, digits = 3): string =>
  `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;

function ranks(values: readonly number[]): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((i, j) => (values[i] as number) - (values[j] as number));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    const valueAt = (place: number): number => values[order[place] as number] as number;
    while (end < order.length && valueAt(end) === valueAt(start)) end++;
    for (let place = start; place < end; place++) result[order[place] as number] = (start + end - 1) / 2;
    start = end;
  }
  return result;
}

function pearson(x: Float64Array, y: Float64Array): number {
  const middle = (x.length - 1) / 2;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  x.forEach((value, i) => {
    const dx = value - middle;
    const dy = (y[i] as number) - middle;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  });
  return xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy);
}

/** Uniform in [0, 1): Numerical Recipes' congruential generator, its upper bits. */
function generator(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
