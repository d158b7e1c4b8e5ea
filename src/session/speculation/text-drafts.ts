/** Lengths of the n-grams that are looked up, longest first. */
const ORDERS = [3, 2] as const;
/** After a wrong token the passage may continue within this many tokens. */
const RESUMED_WITHIN = 8;
/** Most equal tokens that are counted. */
export const MOST_MATCHED = 8;

/**
 * Drafts the tokens that followed an earlier occurrence of the last ones (prompt lookup): answers that repeat, correct
 * or summarize copy a lot. Follows a passage while it is right, and resumes it after a change.
 */
export class TextDrafts {
  readonly #tokens: number[] = [];
  /** For each n-gram: the place after its latest occurrence. */
  readonly #places = new Map<string, number>();
  /** Place of the next expected token. */
  #next: number | undefined;
  /** Place at which the last passage went wrong. */
  #lost: number | undefined;
  #matched = 0;

  /** Equal tokens before the next one, at most MOST_MATCHED; 0 if no token is expected. */
  get matched(): number {
    return this.#matched;
  }

  /** The next expected token. */
  get expected(): number | undefined {
    return this.#next === undefined ? undefined : this.#tokens[this.#next];
  }

  /** Appends a token of the text. */
  push(token: number): void {
    const isRight = this.expected === token;
    if (!isRight && this.#next !== undefined) this.#lost = this.#next;
    this.#tokens.push(token);
    if (isRight) this.#next!++;
    else this.#next = this.#lookUp() ?? this.#resumed(token);
    this.#matched = isRight ? Math.min(this.#matched + 1, MOST_MATCHED) : this.#matchedAt(this.#next);
    for (const order of ORDERS) this.#places.set(this.#last(order), this.#tokens.length);
  }

  /** Up to `most` expected tokens. */
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

  /** The place after `token`, if `token` comes soon after the place at which the passage went wrong. */
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
