/** White space between JSON tokens. */
export const JSON_SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
export const isJsonSpace = (byte: number): boolean => JSON_SPACES.includes(byte);

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const OPEN = [0x5b, 0x7b];
const CLOSE = [0x5d, 0x7d];

/** White space between the tokens of a JSON answer, which is likely to repeat earlier white space in the same place. */
export class JsonStyle {
  /** Last byte other than white space between tokens. */
  #last = 0;
  /** White space after punctuation, by byte and depth. */
  #spaces = new Map<string, readonly number[]>();
  #space: number[] = [];
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  copy(): JsonStyle {
    const copy = new JsonStyle();
    copy.#last = this.#last;
    copy.#spaces = new Map(this.#spaces);
    copy.#space = [...this.#space];
    copy.#depth = this.#depth;
    copy.#isInString = this.#isInString;
    copy.#isEscaped = this.#isEscaped;
    return copy;
  }

  /** Adds bytes of the answer. */
  push(bytes: Uint8Array): void {
    for (const byte of bytes) this.#push(byte);
  }

  /** White space that is likely to come next; none if the answer already ends in some. */
  get space(): readonly number[] {
    return this.#space.length > 0 ? [] : this.spaceAfter(this.#last);
  }

  /** Likely white space after a byte. */
  spaceAfter(byte: number): readonly number[] {
    return this.#spaces.get(this.#keyOf(byte)) ?? (byte === COLON || byte === COMMA ? [0x20] : []);
  }

  #push(byte: number): void {
    if (this.#isInString) {
      if (byte === QUOTE && !this.#isEscaped) this.#isInString = false;
      this.#isEscaped = byte === BACKSLASH && !this.#isEscaped;
    } else if (isJsonSpace(byte)) {
      this.#space.push(byte);
      return;
    } else {
      this.#spaces.set(this.#keyOf(this.#last), this.#space);
      this.#space = [];
      this.#isInString = byte === QUOTE;
      if (OPEN.includes(byte)) this.#depth++;
      if (CLOSE.includes(byte)) this.#depth--;
    }
    this.#last = byte;
  }

  /** Depth does not matter after a colon. */
  #keyOf(byte: number): string {
    return byte === COLON ? ':' : `${byte},${this.#depth}`;
  }
}
