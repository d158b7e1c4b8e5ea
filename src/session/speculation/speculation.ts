import { FEW_TOKENS } from '../../layers/batch.ts';
import { DRAFT_SIZES, type StepCosts } from './step-costs.ts';
import { MOST_MATCHED, TextDrafts } from './text-drafts.ts';

/** How often what is expected comes, by the tokens that were alike before it, 1 to MOST_MATCHED, until an answer has shown it. */
const ASSUMED = [0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85];
/** Tokens that this counts as; those that an answer showed count half as much after so many more. */
const ASSUMED_WEIGHT = 4;
const REMEMBERED = 32;
/** What a draft must be expected to gain: what nobody knows yet, and steps that are not asked for ahead, cost something too. */
const LEAST_GAIN = 1.2;

/** Decides how many of the tokens that an answer is expected to go on with are worth verifying, by what it showed so far. */
export class Speculation {
  readonly #drafts = new TextDrafts();
  readonly #seen = ASSUMED.map((chance) => ({ tokens: ASSUMED_WEIGHT, right: chance * ASSUMED_WEIGHT }));

  /** `text`: what the answer goes on from. */
  constructor(
    private readonly costs: StepCosts,
    text: readonly number[],
  ) {
    for (const token of text) this.#drafts.push(token);
  }

  /** The answer goes on with `token`. What was expected is held against it, whether or not that was verified. */
  push(token: number): void {
    const { matched, expected } = this.#drafts;
    const seen = this.#seen[matched - 1];
    if (seen) {
      seen.tokens++;
      if (expected === token) seen.right++;
      if (seen.tokens > REMEMBERED) Object.assign(seen, { tokens: seen.tokens / 2, right: seen.right / 2 });
    }
    this.#drafts.push(token);
  }

  /** Tokens to verify behind the last one, at most `most`: those that make the most of a step's time, if any. */
  draft(most: number): number[] {
    return this.#drafts.next(Math.min(most, this.#bestSize(this.#drafts.matched) - 1));
  }

  /** Whether there will be a draft behind the token that is being drawn, as likely as not. */
  get isLikely(): boolean {
    const { matched } = this.#drafts;
    return matched > 0 && this.#chance(matched) >= 0.5 && this.#bestSize(matched + 1) > 1;
  }

  /** Tokens of the step that gives the most for its cost. */
  #bestSize(matched: number): number {
    let [best, most] = [1, LEAST_GAIN];
    if (matched === 0) return best;
    let chance = 1;
    let tokens = 1; // what is drawn behind the last token that was right
    for (let size = 2; size <= FEW_TOKENS; size++) {
      chance *= this.#chance(matched + size - 2);
      tokens += chance;
      const timed = DRAFT_SIZES.find((each) => each === size);
      const gain = timed ? tokens / this.costs.of(timed) : 0;
      if (gain > most) [best, most] = [size, gain];
    }
    return best;
  }

  #chance(matched: number): number {
    const { tokens, right } = this.#seen[Math.min(matched, MOST_MATCHED) - 1]!;
    return right / tokens;
  }
}
