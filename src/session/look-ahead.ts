import { quantile } from '../config/quantile.ts';
import type { Device } from '../gpu/device.ts';
import { readOnce } from '../gpu/readback.ts';
import { USUAL_LIMITS } from '../gpu/submission-limits.ts';

/** Most steps that are asked for before a token is read: as many may be thrown away at the end of an answer. */
export const MOST_AHEAD = 64;
/** What takes no longer is hidden by one step ahead, or is not worth a step thrown away. */
const SHORT_MS = 5;
/** Results of nothing that are waited for, at most, until one comes soon: others may have been delayed by what else runs. */
const TRIALS = 8;
/** Longer a result is not believed to travel: something else ran. */
const LONGEST_MS = 250;
/** Times between results that are remembered. */
const REMEMBERED = 16;

/** How far decoding goes ahead of what is read, so that the GPU computes while results travel. */
export class LookAhead {
  readonly #times: number[] = [];
  #last: number | undefined;
  /** Of the latest step. */
  #dispatches = 1;

  /** `latencyMs`: from when the GPU is done to when it is known here. `inFlight`: most dispatches ahead. `now`: milliseconds. */
  constructor(
    private readonly latencyMs = 0,
    private readonly inFlight = USUAL_LIMITS.inFlight,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Errors: `device_lost`. */
  static async measure(device: Device, inFlight?: number): Promise<LookAhead> {
    const nothing = device.buffers.storage('nothing', 'staging', 4);
    let latency = Infinity;
    for (let trial = 0; trial < TRIALS && latency >= SHORT_MS; trial++) {
      const began = performance.now();
      await readOnce(device, 'nothing', [{ buffer: nothing, offset: 0, size: 4 }]);
      latency = Math.min(latency, performance.now() - began);
    }
    device.buffers.destroy(nothing);
    return new LookAhead(Math.min(latency, LONGEST_MS), inFlight);
  }

  /** Milliseconds from one result to the next where steps follow each other; undefined as long as none did. */
  get stepMs(): number | undefined {
    return this.#times.length === 0 ? undefined : quantile(this.#times, 0.5);
  }

  /** Steps to ask for beyond the one whose token is read next. */
  get steps(): number {
    if (this.latencyMs < SHORT_MS || this.#times.length === 0) return 1;
    const stepMs = Math.max(quantile(this.#times, 0.25), 0.1);
    const inFlight = Math.max(1, Math.floor(this.inFlight / this.#dispatches));
    return Math.min(MOST_AHEAD, inFlight, 1 + Math.ceil(this.latencyMs / stepMs));
  }

  /** The result of a step of so many dispatches has come. `underWay`: others are on their way, so that the next comes a step later. */
  arrived(underWay: boolean, dispatches = 1): void {
    const now = this.now();
    this.#dispatches = Math.max(1, dispatches);
    if (this.#last !== undefined) this.#times.push(now - this.#last);
    if (this.#times.length > REMEMBERED) this.#times.shift();
    this.#last = underWay ? now : undefined;
  }
}
