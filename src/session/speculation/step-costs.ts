import { quantile } from '../../config/quantile.ts';
import type { Device } from '../../gpu/device.ts';

/** Tokens of steps that verify a draft, the one before it included: up to FEW_TOKENS. */
export const DRAFT_SIZES = [2, 4, 8] as const;
export type DraftSize = (typeof DRAFT_SIZES)[number];

/** What such steps cost, in steps of one token, until they have been timed. A software adapter computes, a GPU reads weights. */
const ASSUMED: Record<'software' | 'gpu', Record<DraftSize, number>> = {
  software: { 2: 1.8, 4: 3, 8: 3.5 },
  gpu: { 2: 1.1, 4: 1.2, 8: 1.5 },
};
/** Times of each that are remembered. */
const REMEMBERED = 8;

/** Steps of so many tokens, or a token that a draft model drafts. */
type Timed = DraftSize | 'drafted';

/** What steps of several tokens, and drafts, cost on a device. */
export class StepCosts {
  readonly #times = new Map<Timed, number[]>();
  readonly #begun = new Set<Timed>();

  /** `stepMs`: milliseconds from one step of one token to the next, as far as that is known. */
  constructor(
    private readonly device: Pick<Device, 'variant'>,
    private readonly stepMs: () => number | undefined,
  ) {}

  /** Of a step of `size` tokens, in steps of one token. */
  of(size: DraftSize): number {
    return this.#median(size, ASSUMED[this.device.variant.lanes === 1 ? 'software' : 'gpu'][size]);
  }

  /** Of a token that a draft model drafts, in the same; as `assumed` until that has been timed. */
  ofDrafted(assumed: number): number {
    return this.#median('drafted', assumed);
  }

  /** A step of so many tokens took so long. The first of a size may have waited for its kernels. */
  timed(tokens: number, ms: number): void {
    this.#remember(DRAFT_SIZES.find((each) => each >= tokens) ?? 8, ms);
  }

  /** A draft model took so long for so many tokens. */
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
    // What is assumed counts as one of few times: others may have been delayed by what else runs.
    const costs = times.map((ms) => ms / stepMs);
    return quantile(costs.length < REMEMBERED / 2 ? [...costs, assumed] : costs, 0.5);
  }
}
