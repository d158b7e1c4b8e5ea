/** Last tokens that are looked up: where the longer ones stand nowhere else, fewer. */
const ORDERS = [3, 2] as const;
/** Tokens behind a place where a copy went wrong: one of them is looked for, since the copy may go on from there. */
const RESUMED_WITHIN = 8;
/** Tokens alike that are counted at most. */
export const MOST_MATCHED = 8;

/**
 * Says how a text may go on, by what followed its last tokens where they stood before (prompt lookup): in answers that
 * repeat, correct or sum up, much is copied. A copy is followed as long as it is right, and taken up again behind a change.
 */
export class TextDrafts {
  readonly #tokens: number[] = [];
  /** Of the last tokens of each place: the place behind their latest occurrence. */
  readonly #places = new Map<string, number>();
  /** The place of the token that is expected next. */
  #next: number | undefined;
  /** Where the last copy went wrong. */
  #lost: number | undefined;
  #matched = 0;

  /** Tokens before the next one that are alike here and there, at most MOST_MATCHED; 0: nothing is expected. */
  get matched(): number {
    return this.#matched;
  }

  /** The token that is expected next. */
  get expected(): number | undefined {
    return this.#next === undefined ? undefined : this.#tokens[this.#next];
  }

  /** The text goes on with `token`. */
  push(token: number): void {
    const isRight = this.expected === token;
    if (!isRight && this.#next !== undefined) this.#lost = this.#next;
    this.#tokens.push(token);
    if (isRight) this.#next!++;
    else this.#next = this.#lookUp() ?? this.#resumed(token);
    this.#matched = isRight ? Math.min(this.#matched + 1, MOST_MATCHED) : this.#matchedAt(this.#next);
    for (const order of ORDERS) this.#places.set(this.#last(order), this.#tokens.length);
  }

  /** Up to `most` tokens that are expected next. */
  next(most: number): number[] {
    return this.#next === undefined ? [] : this.#tokens.slice(this.#next, this.#next + most);
  }

  #last(order: number): string {
    return this.#tokens.slice(-order).join();
  }

  #lookUp(): number | undefined {
    for (const order of ORDERS) {
      const place = this.#places.get(this.#last(order));
      if (place !== undefined) return place;
    }
    return undefined;
  }

  /** Behind `token`, where it comes soon after the place where a copy went wrong. */
  #resumed(token: number): number | undefined {
    if (this.#lost === undefined) return undefined;
    const near = this.#tokens
      .slice(this.#lost, Math.min(this.#lost + RESUMED_WITHIN, this.#tokens.length - 1))
      .indexOf(token);
    return near < 0 ? undefined : this.#lost + near + 1;
  }

  #matchedAt(place: number | undefined): number {
    const { length } = this.#tokens;
    let matched = 0;
    while (
      place !== undefined &&
      matched < Math.min(place, MOST_MATCHED) &&
      this.#tokens[place - 1 - matched] === this.#tokens[length - 1 - matched]
    )
      matched++;
    return matched;
  }
}
