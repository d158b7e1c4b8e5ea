/** A reader of text that arrives in pieces; it yields when it needs more. */
export type Waiting<T> = Generator<void, T, void>;

/** The text ended too early. */
export class Unfinished extends Error {}

/** Text that arrives in pieces. Readers look at each character once, so a piece costs its own length only. */
export class IncomingText {
  isEnded = false;
  #piece: string;
  #at = 0;

  constructor(piece: string) {
    this.#piece = piece;
  }

  /** Adds the next piece, once the reader waits for it. */
  add(piece: string): void {
    this.#piece = piece;
    this.#at = 0;
  }

  /** The unread part of the piece. */
  get rest(): string {
    return this.#piece.slice(this.#at);
  }

  /** Returns the next character without consuming it. Throws `Unfinished` at the end. */
  *char(): Waiting<string> {
    while (this.#at === this.#piece.length) {
      if (this.isEnded) throw new Unfinished();
      yield;
    }
    return this.#piece[this.#at] as string;
  }

  /** Consumes the next character. */
  skip(): void {
    this.#at++;
  }

  /** Consumes white space, and returns the next character. */
  *next(): Waiting<string> {
    let char = yield* this.char();
    while (/\s/.test(char)) {
      this.#at++;
      char = yield* this.char();
    }
    return char;
  }

  /** Whether only white space is left; consumes it. */
  *isOver(): Waiting<boolean> {
    try {
      yield* this.next();
      return false;
    } catch (thrown) {
      if (thrown instanceof Unfinished) return true;
      throw thrown;
    }
  }

  /** Whether `word` comes next; consumes what matches. */
  *begins(word: string): Waiting<boolean> {
    for (const char of word) {
      if ((yield* this.char()) !== char) return false;
      this.#at++;
    }
    return true;
  }

  /** Consumes and returns the text before a character of `others`. */
  *until(others: RegExp): Waiting<string> {
    let run = '';
    for (;;) {
      yield* this.char();
      const { rest } = this;
      const end = rest.search(others);
      run += end < 0 ? rest : rest.slice(0, end);
      this.#at += end < 0 ? rest.length : end;
      if (end >= 0) return run;
    }
  }

  /** Consumes and returns the JSON object or array that comes next; its beginning `begun` is already consumed. */
  *json(begun = ''): Waiting<string> {
    const span = new JsonSpan();
    span.end(begun, 0);
    let json = begun;
    for (;;) {
      yield* this.char();
      const end = span.end(this.#piece, this.#at);
      json += this.#piece.slice(this.#at, end);
      this.#at = end ?? this.#piece.length;
      if (end !== undefined) return json;
    }
  }
}

/**
 * Finds the end of a JSON object, array or string that arrives in pieces. It only looks at brackets and strings; the parser
 * decides whether the text is JSON.
 */
export class JsonSpan {
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  /** Returns the index after the value's end in `piece`, read from `from` on; undefined if the value continues after it. */
  end(piece: string, from: number): number | undefined {
    for (let at = from; at < piece.length; at++) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isEnd(piece[at] as string)) return at + 1;
    }
    return undefined;
  }

  #isEnd(char: string): boolean {
    if (this.#inString) {
      this.#isEscaped = char === '\\';
      this.#inString = char !== '"';
      return !this.#inString && this.#depth === 0;
    }
    this.#inString = char === '"';
    if (char === '{' || char === '[') this.#depth++;
    if (char !== '}' && char !== ']') return false;
    this.#depth--;
    return this.#depth <= 0;
  }
}

/** Returns the index after the JSON object, array or string that begins at `start`; undefined if the text ends first. */
export const jsonEnd = (text: string, start: number): number | undefined => new JsonSpan().end(text, start);

/** Returns the source text of each member of `object`, which must be JSON. */
export function jsonMembers(object: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = object.indexOf('"');
  while (at >= 0) {
    const keyEnd = jsonEnd(object, at) ?? object.length;
    const colon = object.indexOf(':', keyEnd);
    const valueAt = colon + 1 + object.slice(colon + 1).search(/\S/);
    const end = /["{[]/.test(object[valueAt] ?? '')
      ? (jsonEnd(object, valueAt) ?? object.length)
      : valueAt + object.slice(valueAt).search(/[\s,}]/);
    members.set(JSON.parse(object.slice(at, keyEnd)) as string, object.slice(valueAt, end));
    at = object.indexOf('"', end);
  }
  return members;
}
