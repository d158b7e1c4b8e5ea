/**
 * A grammar, schema or pattern is refused for `reason`. `at`: a place in a schema (`properties.a`), `line:column` of a
 * text, or empty.
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

/** The input is refused for the work or memory that it needs, not for its content. */
export class LimitError extends GrammarError {}

/** Returns `work()`, or `otherwise()` if `work` exceeds a limit. */
export function withinLimits<T>(work: () => T, otherwise: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof LimitError) return otherwise();
    throw error;
  }
}

/** A budget of work, so that nothing blocks the thread. A unit is about 0.1 µs to 1 µs. */
export class Fuel {
  /** Units left. */
  left: number;

  /** `what`: subject of the error, such as `the schema`. */
  constructor(
    amount: number,
    readonly what: string,
  ) {
    this.left = amount;
  }

  /** Throws a `LimitError` if fewer than `units` are left. */
  use(units: number): void {
    this.left -= units;
    if (this.left < 0) throw new LimitError(`${this.what} is too large: it takes more work than is allowed`);
  }
}
