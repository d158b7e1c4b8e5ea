import { FEW_TOKENS } from '../../config/few-tokens.ts';
import { Hits } from './hits.ts';
import type { ModelDrafts } from './model-drafts.ts';
import { DRAFT_SIZES, type StepCosts } from './step-costs.ts';
import { MOST_MATCHED, TextDrafts } from './text-drafts.ts';

/** How often what is expected comes, by the tokens that were alike before it, 1 to MOST_MATCHED, until an answer has shown it. */
const ASSUMED = [0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85];
/** What a draft must be expected to gain: what nobody knows yet, and steps that are not asked for ahead, cost something too. */
const LEAST_GAIN = 1.2;

/** Tokens of a step, and how many times as many tokens a time it is expected to give as steps of one. */
interface StepSize {
  size: number;
  gain: number;
}

const ONE_TOKEN: StepSize = { size: 1, gain: LEAST_GAIN };

/**
 * Decides how many of the tokens that an answer is expected to go on with are worth verifying, by what it showed so far: of
 * those that stand in the text already, or of what a draft model says, whichever gives more.
 */
export class Speculation {
  readonly #copies = new TextDrafts();
  /** By the tokens that were alike before it. */
  readonly #hits = ASSUMED.map((chance) => new Hits(chance));

  /** `text`: what the answer goes on from. */
  constructor(
    private readonly costs: StepCosts,
    text: readonly number[],
    private readonly model?: ModelDrafts,
    /** What a token of the draft model takes, in steps, until that has been timed. */
    private readonly assumedCost = 1,
  ) {
    for (const token of text) this.#copies.push(token);
    if (this.#drafted.size > 1) model?.begin();
  }

  /** The answer goes on with `token`. What was expected is held against it, whether or not that was verified. */
  push(token: number): void {
    const { matched, expected } = this.#copies;
    this.#hits[matched - 1]?.push(expected === token);
    this.#copies.push(token);
    this.model?.push(token);
  }

  /** Tokens to verify behind the last one, at most `most`: those that make the most of a step's time, if any. */
  async draft(most: number): Promise<number[]> {
    const copied = this.#copied(this.#copies.matched);
    const drafted = this.#ready;
    if (this.model && drafted.gain > copied.gain) return this.model.next(Math.min(most, drafted.size - 1));
    return this.#copies.next(Math.min(most, copied.size - 1));
  }

  /** Whether there will be a draft behind the token that is being drawn, as likely as not. */
  get isLikely(): boolean {
    const { matched } = this.#copies;
    return this.#ready.size > 1 || (matched > 0 && this.#chance(matched) >= 0.5 && this.#copied(matched + 1).size > 1);
  }

  /** Waits until nothing is under way. */
  async close(): Promise<void> {
    await this.model?.close();
  }

  /** The step that gives the most for its cost, of tokens that stand in the text already. */
  #copied(matched: number): StepSize {
    return matched === 0 ? ONE_TOKEN : this.#best((i) => this.#chance(matched + i));
  }

  /** The same of tokens that a model drafts, once it has read the text. */
  get #ready(): StepSize {
    return this.model?.isReady ? this.#drafted : ONE_TOKEN;
  }

  get #drafted(): StepSize {
    const { model, costs } = this;
    if (!model) return ONE_TOKEN;
    return this.#best(() => model.chance, costs.ofDrafted(this.assumedCost));
  }

  /** `chance`: of the i-th token of a draft, if those before it were right. `drafting`: what a token of it costs, in steps. */
  #best(chance: (i: number) => number, drafting = 0): StepSize {
    let best = ONE_TOKEN;
    let right = 1;
    let tokens = 1; // what is drawn behind the last token that was right
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
