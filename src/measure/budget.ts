import { ChunkwiseError, throwIfAborted } from '../errors/chunkwise-error.ts';
import type { NotMeasured } from './device-report.ts';

export const NO_TIME: NotMeasured = { notMeasured: 'no time was left' };

/** A time budget; measurements that would not fit are not started. */
export class Budget {
  readonly #began = performance.now();
  readonly #ends: number;

  constructor(
    ms: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#ends = this.#began + ms;
  }

  get spentMs(): number {
    return performance.now() - this.#began;
  }

  get leftMs(): number {
    return this.#ends - performance.now();
  }

  /** A budget of a share (0 to 1) of the remaining time. */
  part(share: number): Budget {
    return new Budget(Math.max(0, this.leftMs) * share, this.signal);
  }

  /** Whether `ms` more fit. Throws `aborted`. */
  fits(ms: number): boolean {
    throwIfAborted(this.signal);
    return ms < this.leftMs;
  }

  /**
   * Runs `work` if about `expectedMs` fit. Its signal aborts with the caller's signal and when the time is over. Returns a
   * missing figure if the time runs out or the device refuses (`over_limit`, `kernel_refused`).
   */
  async attempt<T>(expectedMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T | NotMeasured> {
    if (!this.fits(expectedMs)) return NO_TIME;
    const over = AbortSignal.timeout(Math.max(1, Math.ceil(this.leftMs)));
    try {
      return await work(this.signal ? AbortSignal.any([this.signal, over]) : over);
    } catch (error) {
      throwIfAborted(this.signal);
      if (!(error instanceof ChunkwiseError)) throw error;
      if (error.code === 'aborted') return NO_TIME;
      if (error.code === 'over_limit' || error.code === 'kernel_refused')
        return { notMeasured: `${error.code}: ${error.message}` };
      throw error;
    }
  }
}

export const isMissing = (figure: unknown): figure is NotMeasured =>
  typeof figure === 'object' && figure !== null && 'notMeasured' in figure;
