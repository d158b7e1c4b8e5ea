import { quantile } from '../../config/quantile.ts';
import type { GenerationReport } from '../types.ts';
import type { AnswerToken } from './answer-steps.ts';

/** Measures one answer as its tokens arrive. Times in milliseconds. */
export class AnswerMeter {
  #last = performance.now();
  /** What steps gave, and how long their tokens took together; the first is of the prefill. */
  readonly #steps: { tokens: number; ms: number }[] = [];
  /** Tokens of the last step that are to come, and what each of them took. */
  #left = 0;
  #share = 0;
  #dispatches = 0;
  #dispatchesPerLayer = 0;
  tokens = 0;

  /** Takes the next token: milliseconds since the token before, or since this was made; of a step's tokens, which come together, a share each. */
  push({
    ofStep,
    dispatchesPerToken,
    dispatchesPerLayer,
  }: Omit<AnswerToken, 'token' | 'entropy' | 'position'>): number {
    const now = performance.now();
    const interval = now - this.#last;
    this.#last = now;
    if (this.#left === 0) {
      this.#steps.push({ tokens: 0, ms: 0 });
      this.#left = ofStep;
      this.#share = interval / ofStep;
    }
    const step = this.#steps.at(-1)!;
    step.tokens++;
    step.ms += interval;
    this.#left--;
    if (this.tokens++ > 0) this.#dispatches += dispatchesPerToken;
    this.#dispatchesPerLayer = dispatchesPerLayer;
    return this.#share;
  }

  report(): Omit<GenerationReport, 'kv' | 'meanRank' | 'invokedAt'> {
    const [first, ...later] = this.#steps;
    const intervals = later.flatMap(({ tokens, ms }) => new Array<number>(tokens).fill(ms / tokens));
    const total = later.reduce((sum, { ms }) => sum + ms, 0);
    const { length } = intervals;
    return {
      ttftMs: first?.ms ?? 0,
      msPerToken: { median: quantile(intervals, 0.5), p95: quantile(intervals, 0.95) },
      tokensPerSecond: total > 0 ? (length * 1000) / total : 0,
      tokensPerStep: length > 0 ? length / later.length : 0,
      dispatchesPerToken: length > 0 ? this.#dispatches / length : 0,
      dispatchesPerLayer: this.#dispatchesPerLayer,
    };
  }
}
