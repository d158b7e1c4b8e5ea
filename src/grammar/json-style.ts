/** White space between tokens of JSON. */
export const JSON_SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
export const isJsonSpace = (byte: number): boolean => JSON_SPACES.includes(byte);

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const OPEN = [0x5b, 0x7b];
const CLOSE = [0x5d, 0x7d];

/** How an answer in JSON writes white space between its tokens: what is likely is what it wrote there before. */
export class JsonStyle {
  /** The last byte that is no white space between tokens. */
  #last = 0;
  /** White space behind punctuation, by its byte and depth. */
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

  /** More of the answer. */
  push(bytes: Uint8Array): void {
    for (const byte of bytes) this.#push(byte);
  }

  /** White space that is likely behind what was pushed; none where it is there already. */
  get space(): readonly number[] {
    return this.#space.length > 0 ? [] : this.spaceBehind(this.#last);
  }

  /** White space that is likely behind a byte. */
  spaceBehind(byte: number): readonly number[] {
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

  /** Behind a colon it is the same everywhere. */
  #keyOf(byte: number): string {
    return byte === COLON ? ':' : `${byte},${this.#depth}`;
  }
}
