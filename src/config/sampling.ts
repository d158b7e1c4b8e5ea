/**
 * How the next token is sampled from the logits. Applied in this order: penalties and bias, temperature, top-k, top-p,
 * min-p.
 */
export interface SamplingOptions {
  /** 0 is greedy. */
  temperature: number;
  /** Number of most probable tokens to keep; 0 keeps all. */
  topK: number;
  /** Probability mass to keep after top-k; 1 keeps all. */
  topP: number;
  /** Least probability to keep, as a fraction of the most probable token's; 0 keeps all. */
  minP: number;
  /**
   * Divides positive logits and multiplies negative ones of every token in the prompt and the answer (arXiv
   * 1909.05858).
   */
  repetitionPenalty: number;
  /** Subtracted once from the logit of each token of the answer. */
  presencePenalty: number;
  /** Subtracted from a token's logit once per occurrence in the answer. */
  frequencyPenalty: number;
  /** Added to a token's logit. */
  logitBias: ReadonlyMap<number, number>;
  /** 32-bit unsigned; the same seed gives the same text on the same device. */
  seed: number;
}

export const GREEDY: SamplingOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
  seed: 0,
};
