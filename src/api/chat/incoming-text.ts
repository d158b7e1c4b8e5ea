import { JsonSpan } from './json-span.ts';

/** What reads a text as it comes: it yields where it waits for more. */
export type Waiting<T> = Generator<void, T, void>;

/** The text ends before what is read does. */
export class Unfinished extends Error {}

/** A text that comes in pieces. Whatever reads it looks at each character once, so a piece costs what it is long, not what came before it. */
export class IncomingText {
  isEnded = false;
  #piece: string;
  #at = 0;

  constructor(piece: string) {
    this.#piece = piece;
  }

  /** The next piece, when what reads the text waits for it. */
  add(piece: string): void {
    this.#piece = piece;
    this.#at = 0;
  }

  /** What of the piece has not been read. */
  get rest(): string {
    return this.#piece.slice(this.#at);
  }

  /** The character that is read next; throws `Unfinished` where there is none. */
  *char(): Waiting<string> {
    while (this.#at === this.#piece.length) {
      if (this.isEnded) throw new Unfinished();
      yield;
    }
    return this.#piece[this.#at] as string;
  }

  /** Behind the character that is read next. */
  skip(): void {
    this.#at++;
  }

  /** The next one that is no white space; that before it has been read then. */
  *next(): Waiting<string> {
    let char = yield* this.char();
    while (/\s/.test(char)) {
      this.#at++;
      char = yield* this.char();
    }
    return char;
  }

  /** Whether nothing but white space is left. */
  *isOver(): Waiting<boolean> {
    try {
      yield* this.next();
      return false;
    } catch (thrown) {
      if (thrown instanceof Unfinished) return true;
      throw thrown;
    }
  }

  /** Whether `word` comes next; it, or what it shares with what comes, has been read then. */
  *begins(word: string): Waiting<boolean> {
    for (const char of word) {
      if ((yield* this.char()) !== char) return false;
      this.#at++;
    }
    return true;
  }

  /** What stands before a character of `others`. */
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

  /** The object or array of JSON that comes next, of which `begun` has been read already. */
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
