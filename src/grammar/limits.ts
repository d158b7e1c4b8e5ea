/**
 * A grammar, schema or pattern that is refused: why, and where. `at` is a place in a schema (`properties.a`) or
 * `line:column` of a text, and empty where there is none.
 */
export class GrammarError extends Error {
  override readonly name = 'GrammarError';

  constructor(
    readonly reason: string,
    readonly at = '',
  ) {
    super(at === '' ? reason : `${at}: ${reason}`);
  }
}

/** Bounds work, so that nothing holds the thread: a unit is about 0.1 µs to 1 µs of it. */
export class Fuel {
  /** Units that are left. */
  left: number;

  /** `what` is named in the error, as in `the schema`. */
  constructor(
    amount: number,
    readonly what: string,
  ) {
    this.left = amount;
  }

  /** Throws a `GrammarError` when `units` more than what is left are asked for. */
  use(units: number): void {
    this.left -= units;
    if (this.left < 0) throw new GrammarError(`${this.what} is too large: it takes more work than is allowed`);
  }
}
