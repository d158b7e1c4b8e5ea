import { FEW_TOKENS } from '../../config/limits.ts';
import { Hits, DRAFT_SIZES, type StepCosts } from './step-costs.ts';
import type { ModelDrafts } from './model-drafts.ts';
import { MOST_MATCHED, TextDrafts } from './text-drafts.ts';

/** Assumed chance that the next token of a copied passage is right, after 1 to MOST_MATCHED equal tokens. */
const ASSUMED = [0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85];
/** Least expected gain of a draft: steps that are not submitted ahead cost time as well. */
const LEAST_GAIN = 1.2;

/** Tokens of a step, and its expected throughput relative to steps of one token. */
interface StepSize {
  size: number;
  gain: number;
}

const ONE_TOKEN: StepSize = { size: 1, gain: LEAST_GAIN };

/**
 * Decides how many drafted tokens to verify, by the acceptance so far. Drafts are copied from earlier text, or come
 * from a draft model, whichever gains more.
 */
export class Speculation {
  readonly #copies = new TextDrafts();
  /** Acceptance by the number of equal tokens before. */
  readonly #hits = ASSUMED.map((chance) => new Hits(chance));

  /** `text`: the prompt. */
  constructor(
    private readonly costs: StepCosts,
    text: readonly number[],
    private readonly model?: ModelDrafts,
    /** Assumed time of a drafted token, in steps, until it is timed. */
    private readonly assumedCost = 1,
  ) {
    for (const token of text) this.#copies.push(token);
    if (this.#drafted.size > 1) model?.begin();
  }

  /** Appends a token of the answer, and compares it with the expected one, verified or not. */
  push(token: number): void {
    const { matched, expected } = this.#copies;
    this.#hits[matched - 1]?.push(expected === token);
    this.#copies.push(token);
    this.model?.push(token);
  }

  /** Up to `most` tokens to verify after the last one: the number with the best expected throughput, or none. */
  async draft(most: number): Promise<number[]> {
    const copied = this.#copied(this.#copies.matched);
    const drafted = this.#ready;
    if (this.model && drafted.gain > copied.gain) return this.model.next(Math.min(most, drafted.size - 1));
    return this.#copies.next(Math.min(most, copied.size - 1));
  }

  /** Whether a draft after the token in flight is at least as likely as not. */
  get isLikely(): boolean {
    const { matched } = this.#copies;
    return this.#ready.size > 1 || (matched > 0 && this.#chance(matched) >= 0.5 && this.#copied(matched + 1).size > 1);
  }

  /** Waits for work in flight. */
  async close(): Promise<void> {
    await this.model?.close();
  }

  /** The best step size for tokens copied from the text. */
  #copied(matched: number): StepSize {
    return matched === 0 ? ONE_TOKEN : this.#best((i) => this.#chance(matched + i));
  }

  /** The best step size for the draft model's tokens, once it has read the text. */
  get #ready(): StepSize {
    return this.model?.isReady ? this.#drafted : ONE_TOKEN;
  }

  get #drafted(): StepSize {
    const { model, costs } = this;
    if (!model) return ONE_TOKEN;
    return this.#best(() => model.chance, costs.ofDrafted(this.assumedCost));
  }

  /** `chance(i)`: chance of draft token i after accepted ones. `drafting`: time of a drafted token, in steps. */
  #best(chance: (i: number) => number, drafting = 0): StepSize {
    let best = ONE_TOKEN;
    let right = 1;
    let tokens = 1; // the token sampled after the last accepted one
    for (let size = 2; size <= FEW_TOKENS; size++) {
      right *= chance(size - 2);
      tokens += right;
      const timed = DRAFT_SIZES.find((each) => each === size);
      const gain = timed ? tokens / (this.costs.of(timed) + (size - 1) * drafting) : 0;
      if (gain > best.gain) best = { size, gain };
    }
    return best;
  }

  #chance(matched: number): number {
    return this.#hits[Math.min(matched, MOST_MATCHED) - 1]!.chance;
  }
}
