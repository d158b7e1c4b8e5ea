import { quantile } from '../config/quantile.ts';
import type { GenerationReport } from './types.ts';

/** Measures one answer as its tokens arrive. Times in milliseconds. */
export class Stopwatch {
  #last = performance.now();
  readonly #intervals: number[] = [];

  /** Milliseconds since the token before, or since this was made. */
  lap(): number {
    const now = performance.now();
    const interval = now - this.#last;
    this.#last = now;
    this.#intervals.push(interval);
    return interval;
  }

  report(): Pick<GenerationReport, 'ttftMs' | 'msPerToken' | 'tokensPerSecond'> {
    const [ttftMs = 0, ...later] = this.#intervals;
    const total = later.reduce((sum, ms) => sum + ms, 0);
    return {
      ttftMs,
      msPerToken: { median: quantile(later, 0.5), p95: quantile(later, 0.95) },
      tokensPerSecond: total > 0 ? (later.length * 1000) / total : 0,
    };
  }
}
