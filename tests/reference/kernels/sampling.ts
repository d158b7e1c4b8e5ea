import type { SamplingOptions } from '../../../src/config/sampling.ts';

/** Logits after penalties and bias; `prompt` and `answer` are the tokens so far. */
export function adjustLogits(
  logits: Float32Array,
  options: SamplingOptions,
  prompt: readonly number[],
  answer: readonly number[],
): Float64Array {
  const seen = new Set([...prompt, ...answer]);
  const counts = new Map<number, number>();
  for (const token of answer) counts.set(token, (counts.get(token) ?? 0) + 1);
  return Float64Array.from(logits, (value, token) => {
    const count = counts.get(token) ?? 0;
    const { repetitionPenalty } = options;
    const repeated = seen.has(token) ? (value > 0 ? value / repetitionPenalty : value * repetitionPenalty) : value;
    const penalty = options.frequencyPenalty * count + (count > 0 ? options.presencePenalty : 0);
    return repeated - penalty + (options.logitBias.get(token) ?? 0);
  });
}

/** Logits with all but the `allowed` tokens masked. */
export function maskLogits(logits: ArrayLike<number>, allowed: ReadonlySet<number>): Float64Array {
  return Float64Array.from(logits, (value, token) => (allowed.has(token) ? value : -3e38));
}

/** The token of the largest logit, the lowest of several. */
export function argmax(logits: ArrayLike<number>): number {
  return Array.from(logits).reduce((best, value, token) => (value > (logits[best] ?? 0) ? token : best), 0);
}

/** The distribution after temperature, top-k, top-p and min-p, in that order; ties go to the lower token. */
export interface Distribution {
  /** From the most to the least probable. */
  tokens: number[];
  probabilities: number[];
  /** Distance of top-p's threshold from the mass at its last token and at the one before. If it is large, rounding cannot change the set. */
  margin: number;
}

export function distribution(logits: ArrayLike<number>, options: SamplingOptions): Distribution {
  const { temperature, topK, topP, minP } = options;
  const all = Array.from(logits, (_, token) => token).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  const maximum = logits[all[0] ?? 0] ?? 0;
  const weight = (token: number): number => Math.exp(((logits[token] ?? 0) - maximum) / temperature);
  const sum = (tokens: number[]): number => tokens.reduce((total, token) => total + weight(token), 0);
  let kept = topK > 0 ? all.slice(0, topK) : all;
  let margin = Infinity;
  if (topP < 1) {
    const target = topP * sum(kept);
    let mass = 0;
    let count = 0;
    while (count < kept.length && (mass < target || count === 0)) mass += weight(kept[count++] ?? 0);
    const before = mass - weight(kept[count - 1] ?? 0);
    margin = Math.min(mass - target, count > 1 ? target - before : Infinity) / sum(kept);
    kept = kept.slice(0, count);
  }
  kept = kept.filter((token) => weight(token) >= minP);
  const total = sum(kept);
  return { tokens: kept, probabilities: kept.map((token) => weight(token) / total), margin };
}
