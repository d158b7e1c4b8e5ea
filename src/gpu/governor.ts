/** Windows and Linux reset a GPU that is busy with one submission for two seconds, and an abort waits for one or two. */
const TARGET_MS = 90;
/** Of the first submission, when nothing is known: less than a second on whatever runs a model at all, of 1B a tile of tokens. */
const FIRST_FLOPS = 8e9;
/** No device is believed to be slower than 11 GFLOPS: what takes as long then is compiling, or others that run beside it. */
const LEAST_FLOPS = 1e9;
/** What takes less says how fast the device is at least, since part of it was waiting. */
const BRIEF_MS = 20;

/** Sizes submissions by how long those before them took. */
export class Governor {
  #flopsPerMs = FIRST_FLOPS / TARGET_MS;
  /** As the submission before said. */
  #before = this.#flopsPerMs;
  #lastDone = 0;

  /** `now`: milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Most FLOPs of the next submission, but for one that cannot be smaller. */
  get flops(): number {
    return TARGET_MS * this.#flopsPerMs;
  }

  /** A submission of `flops` goes off now. What is given back is called when it is done. */
  submitted(flops: number): () => void {
    const submitted = this.now();
    return () => {
      const done = this.now();
      const ms = done - Math.max(submitted, this.#lastDone); // until then another one ran
      this.#lastDone = done;
      this.#learn(flops, ms);
    };
  }

  /** A slower device is believed when two submissions say so, since one may have been compiled; a faster one by and by. */
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
