import { quantile } from '../util/numbers.ts';
import type { Device } from './device.ts';
import { readOnce } from './recorder.ts';
/** Target duration of a submission. Windows and Linux reset a GPU after two seconds in one submission; an abort waits for one or two submissions. */
const TARGET_MS = 90;
/** FLOPs of the first submission: under a second on any usable device; one tile of tokens of a 1B model. */
const FIRST_FLOPS = 8e9;
/** Floor of the speed estimate: 11 GFLOPS. Slower submissions are explained by compilation or other load. */
const LEAST_FLOPS = 1e9;
/** A briefer submission gives only a lower bound of the speed, since part of its time is latency. */
const BRIEF_MS = 20;

/** Sizes submissions by the duration of earlier ones. */
export class SubmissionSizer {
  #flopsPerMs = FIRST_FLOPS / TARGET_MS;
  /** Speed that the previous submission showed. */
  #before = this.#flopsPerMs;
  #lastDone = 0;

  /** `now`: milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Most FLOPs of the next submission; one that cannot be split may exceed it. */
  get flops(): number {
    return TARGET_MS * this.#flopsPerMs;
  }

  /** Notes a submission of `flops`. Call the returned function when it is done. */
  submitted(flops: number): () => void {
    const submitted = this.now();
    return () => {
      const done = this.now();
      const ms = done - Math.max(submitted, this.#lastDone); // earlier, the GPU ran the previous one
      this.#lastDone = done;
      this.#learn(flops, ms);
    };
  }

  /** Lowers the estimate only after two slow submissions, since one may include compilation; raises it at most twofold per submission. */
  #learn(flops: number, ms: number): void {
    const measured = flops / Math.max(ms, 0.001);
    const isBrief = ms < BRIEF_MS;
    const believed = isBrief
      ? Math.max(measured, this.#flopsPerMs)
      : Math.max(measured, this.#before, LEAST_FLOPS / TARGET_MS);
    if (!isBrief) this.#before = measured;
    this.#flopsPerMs = Math.min(believed, 2 * this.#flopsPerMs);
  }
}

/** Limits on work submitted ahead of results. */
export interface SubmissionLimits {
  /** Most dispatches of decode steps in flight before their results are read; one step is always allowed. */
  inFlight: number;
  /** Most dispatches of a submission. */
  submission: number;
}

/** About 40 steps of a 1B model or 20 of a 135M model: at least 0.1 s of work. */
export const USUAL_LIMITS: SubmissionLimits = { inFlight: 4096, submission: Infinity };

/** For browsers that kill pages with long GPU queues (llama.cpp #21533), such as Safari on iPhones. */
export const PHONE_LIMITS: SubmissionLimits = { inFlight: 512, submission: 64 };

/** Most steps in flight before a token is read: the end of an answer discards them. */
export const MOST_AHEAD = 64;
/** One step ahead hides a latency up to this, or the gain is not worth a discarded step. */
const SHORT_MS = 5;
/** Most empty readbacks that measure the latency: other work may delay some. */
const TRIALS = 8;
/** Upper bound of the latency: a longer one means that other work ran. */
const LONGEST_MS = 250;
/** Remembered times between results. */
const REMEMBERED = 16;

/** How many steps decoding submits before it reads a token, so that the GPU computes while results travel. */
export class StepsAhead {
  readonly #times: number[] = [];
  #last: number | undefined;
  /** Dispatches of the latest step. */
  #dispatches = 1;

  /**
   * `latencyMs`: from the end of GPU work to the readback's result. `inFlight`: most dispatches in flight. `now`: a
   * clock in milliseconds.
   */
  constructor(
    private readonly latencyMs = 0,
    private readonly inFlight = USUAL_LIMITS.inFlight,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Errors: `device_lost`. */
  static async measure(device: Device, inFlight?: number): Promise<StepsAhead> {
    const nothing = device.buffers.storage('nothing', 'staging', 4);
    let latency = Infinity;
    for (let trial = 0; trial < TRIALS && latency >= SHORT_MS; trial++) {
      const began = performance.now();
      await readOnce(device, 'nothing', [{ buffer: nothing, offset: 0, size: 4 }]);
      latency = Math.min(latency, performance.now() - began);
    }
    device.buffers.destroy(nothing);
    return new StepsAhead(Math.min(latency, LONGEST_MS), inFlight);
  }

  /** Milliseconds between results of consecutive steps; undefined before the first two. */
  get stepMs(): number | undefined {
    return this.#times.length === 0 ? undefined : quantile(this.#times, 0.5);
  }

  /** Steps to submit beyond the one that is read next. */
  get steps(): number {
    if (this.latencyMs < SHORT_MS || this.#times.length === 0) return 1;
    const stepMs = Math.max(quantile(this.#times, 0.25), 0.1);
    const inFlight = Math.max(1, Math.floor(this.inFlight / this.#dispatches));
    return Math.min(MOST_AHEAD, inFlight, 1 + Math.ceil(this.latencyMs / stepMs));
  }

  /** A step's result arrived. `underWay`: others are in flight, so that the next result arrives a step later. */
  arrived(underWay: boolean, dispatches = 1): void {
    const now = this.now();
    this.#dispatches = Math.max(1, dispatches);
    if (this.#last !== undefined) this.#times.push(now - this.#last);
    if (this.#times.length > REMEMBERED) this.#times.shift();
    this.#last = underWay ? now : undefined;
  }
}
