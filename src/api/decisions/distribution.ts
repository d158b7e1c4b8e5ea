/** Log-probability of each option, for each reading of a question. */
export type Readings = readonly (readonly number[])[];

export const logSum = (logs: readonly number[]): number => {
  const most = Math.max(...logs);
  return most === -Infinity ? most : most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0));
};

/** Probability of each option: the mean over the readings of softmax(log-probabilities / `temperature`). */
export function probabilities(readings: Readings, temperature: number): number[] {
  const each = readings.map((logs) => {
    const most = Math.max(...logs);
    const weights = logs.map((log) => (log === most ? 1 : Math.exp((log - most) / temperature)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  });
  return (each[0] ?? []).map((_, option) => each.reduce((sum, own) => sum + own[option]!, 0) / each.length);
}

export const indexOfLargest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** Readings of a question, and the index of its right option. */
export interface Judged {
  readings: Readings;
  right: number;
}

/** Smallest probability, which keeps the logarithm finite. */
const LEAST = 1e-300;

/** Mean negative log-probability of the right answers. */
export const meanNll = (judged: readonly Judged[], temperature: number): number =>
  judged.reduce(
    (sum, { readings, right }) => sum - Math.log(Math.max(LEAST, probabilities(readings, temperature)[right]!)),
    0,
  ) / judged.length;

const BINS = 10;

/** Expected calibration error of the likeliest answers, in ten bins of equal width (Guo et al., arXiv 1706.04599). */
export function calibrationError(judged: readonly Judged[], temperature: number): number {
  const bins = Array.from({ length: BINS }, () => ({ confidence: 0, right: 0 }));
  for (const { readings, right } of judged) {
    const own = probabilities(readings, temperature);
    const likeliest = indexOfLargest(own);
    const bin = bins[Math.min(BINS - 1, Math.floor(own[likeliest]! * BINS))]!;
    bin.confidence += own[likeliest]!;
    bin.right += likeliest === right ? 1 : 0;
  }
  return bins.reduce((sum, { confidence, right }) => sum + Math.abs(confidence - right), 0) / judged.length;
}

const LEAST_TEMPERATURE = 0.05;
const MOST_TEMPERATURE = 20;
/** Tolerance of the temperature's logarithm. */
const TOLERANCE = 1e-4;

/** Finds the temperature with the lowest mean NLL by golden-section search over its logarithm. */
export function fitTemperature(judged: readonly Judged[]): number {
  const share = (Math.sqrt(5) - 1) / 2;
  const loss = (log: number): number => meanNll(judged, Math.exp(log));
  let [low, high] = [Math.log(LEAST_TEMPERATURE), Math.log(MOST_TEMPERATURE)];
  let [left, right] = [high - share * (high - low), low + share * (high - low)];
  let [atLeft, atRight] = [loss(left), loss(right)];
  while (high - low > TOLERANCE) {
    if (atLeft <= atRight) {
      [high, right, atRight] = [right, left, atLeft];
      left = high - share * (high - low);
      atLeft = loss(left);
    } else {
      [low, left, atLeft] = [left, right, atRight];
      right = low + share * (high - low);
      atRight = loss(right);
    }
  }
  return Math.exp((low + high) / 2);
}
