import { quantile } from '../../util/numbers.ts';
import type { Device } from '../../gpu/device.ts';

/** Tokens of steps that verify a draft, with the token before it: up to FEW_TOKENS. */
export const DRAFT_SIZES = [2, 4, 8] as const;
export type DraftSize = (typeof DRAFT_SIZES)[number];

/**
 * Assumed time of such steps, in steps of one token, until they are timed. Software adapters are compute-bound, GPUs
 * memory-bound.
 */
const ASSUMED: Record<'software' | 'gpu', Record<DraftSize, number>> = {
  software: { 2: 1.8, 4: 3, 8: 3.5 },
  gpu: { 2: 1.1, 4: 1.2, 8: 1.5 },
};
/** Remembered times of each size. */
const REMEMBERED = 8;

/** A step of that size, or a token of the draft model. */
type Timed = DraftSize | 'drafted';

/** Times of steps of several tokens, and of drafts, on a device. */
export class StepCosts {
  readonly #times = new Map<Timed, number[]>();
  readonly #begun = new Set<Timed>();

  /** `stepMs`: milliseconds of a step of one token, if known. */
  constructor(
    private readonly device: Pick<Device, 'variant'>,
    private readonly stepMs: () => number | undefined,
  ) {}

  /** Time of a step of `size` tokens, in steps of one token. */
  of(size: DraftSize): number {
    return this.#median(size, ASSUMED[this.device.variant.lanes === 1 ? 'software' : 'gpu'][size]);
  }

  /** Time of a drafted token, in steps; `assumed` until it is timed. */
  ofDrafted(assumed: number): number {
    return this.#median('drafted', assumed);
  }

  /** Adds the time of a step. The first of a size may have waited for its kernels, and is not counted. */
  timed(tokens: number, ms: number): void {
    this.#remember(DRAFT_SIZES.find((each) => each >= tokens) ?? 8, ms);
  }

  /** Adds the time of a draft. */
  drafted(tokens: number, ms: number): void {
    this.#remember('drafted', ms / tokens);
  }

  #remember(what: Timed, ms: number): void {
    if (!this.#begun.has(what)) return void this.#begun.add(what);
    const times = [...(this.#times.get(what) ?? []), ms];
    this.#times.set(what, times.slice(-REMEMBERED));
  }

  #median(what: Timed, assumed: number): number {
    const stepMs = this.stepMs();
    const times = this.#times.get(what);
    if (stepMs === undefined || !times) return assumed;
    // While few times are known the assumed one counts as one more: other work may have delayed some.
    const costs = times.map((ms) => ms / stepMs);
    return quantile(costs.length < REMEMBERED / 2 ? [...costs, assumed] : costs, 0.5);
  }
}

/** Weight of the assumed chance, in tokens. After REMEMBERED_HITS tokens the counts are halved. */
const ASSUMED_WEIGHT = 4;
const REMEMBERED_HITS = 32;

/** The chance of an event: as assumed at first, then as observed. */
export class Hits {
  #all = ASSUMED_WEIGHT;
  #right: number;

  constructor(assumedChance: number) {
    this.#right = assumedChance * ASSUMED_WEIGHT;
  }

  get chance(): number {
    return this.#right / this.#all;
  }

  push(isRight: boolean): void {
    this.#all++;
    if (isRight) this.#right++;
    if (this.#all > REMEMBERED_HITS) [this.#all, this.#right] = [this.#all / 2, this.#right / 2];
  }
}
