import { quantile } from '../../config/quantile.ts';
import type { StepCost } from '../../session/sampling/draw-request.ts';
import type { GenerationReport } from '../types.ts';

/** Measures one answer as its tokens arrive. Times in milliseconds. */
export class AnswerMeter {
  #last = performance.now();
  readonly #intervals: number[] = [];
  #dispatches = 0;
  #dispatchesPerLayer = 0;

  /** Takes the step that computed and drew the next token: milliseconds since the token before, or since this was made. */
  push({ dispatchesPerToken, dispatchesPerLayer }: StepCost): number {
    const now = performance.now();
    const interval = now - this.#last;
    this.#last = now;
    this.#intervals.push(interval);
    // The first is of the prefill.
    if (this.tokens > 1) this.#dispatches += dispatchesPerToken;
    this.#dispatchesPerLayer = dispatchesPerLayer;
    return interval;
  }

  get tokens(): number {
    return this.#intervals.length;
  }

  report(): Omit<GenerationReport, 'kv' | 'meanRank' | 'invokedAt'> {
    const [ttftMs = 0, ...later] = this.#intervals;
    const total = later.reduce((sum, ms) => sum + ms, 0);
    return {
      ttftMs,
      msPerToken: { median: quantile(later, 0.5), p95: quantile(later, 0.95) },
      tokensPerSecond: total > 0 ? (later.length * 1000) / total : 0,
      dispatchesPerToken: later.length > 0 ? this.#dispatches / later.length : 0,
      dispatchesPerLayer: this.#dispatchesPerLayer,
    };
  }
}
