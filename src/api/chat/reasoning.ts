const OPEN = '<think>';
const CLOSE = '</think>';

/** What was read of an answer: its thoughts, and the answer itself. Either may be empty. */
export interface ThoughtAndText {
  reasoning: string;
  text: string;
}

/**
 * Separates an answer from the reasoning that it begins with, in `<think>` tags, as pieces of any length arrive. White
 * space around the reasoning belongs to neither. A tag further on is text.
 */
export class ReasoningReader {
  #place: 'before' | 'inside' | 'behind' | 'answer';
  #held = '';
  /** White space before the answer, or that may turn out to be the reasoning's last. */
  #space = '';

  /** `opened`: the prompt ends within the tags. */
  constructor(opened: boolean) {
    this.#place = opened ? 'inside' : 'before';
  }

  push(piece: string): ThoughtAndText {
    this.#held += piece;
    let reasoning = '';
    if (this.#place === 'before') this.#begin();
    if (this.#place === 'inside') reasoning = this.#readInside();
    if (this.#place === 'behind') this.#skipSpace();
    return { reasoning, text: this.#place === 'answer' ? this.#take() : '' };
  }

  /** What was held back at the end of the answer. */
  flush(): ThoughtAndText {
    if (this.#place === 'before') this.#answer();
    const rest = this.#take();
    if (this.#place === 'inside') return { reasoning: this.#trimmed(rest), text: '' };
    return { reasoning: '', text: this.#place === 'behind' ? '' : rest };
  }

  #begin(): void {
    const text = this.#held.trimStart();
    this.#space += this.#held.slice(0, this.#held.length - text.length);
    this.#held = text;
    if (text.startsWith(OPEN)) {
      this.#held = text.slice(OPEN.length);
      this.#space = '';
      this.#place = 'inside';
    } else if (!OPEN.startsWith(text)) {
      this.#answer();
    }
  }

  /** There is no reasoning. */
  #answer(): void {
    this.#held = this.#space + this.#held;
    this.#place = 'answer';
  }

  #readInside(): string {
    const end = this.#held.indexOf(CLOSE);
    if (end < 0) {
      const kept = beginningAtEnd(this.#held, CLOSE);
      const text = this.#held.slice(0, this.#held.length - kept);
      this.#held = this.#held.slice(this.#held.length - kept);
      return this.#trimmed(text);
    }
    const text = this.#trimmed(this.#held.slice(0, end));
    this.#held = this.#held.slice(end + CLOSE.length);
    this.#place = 'behind';
    return text;
  }

  #begun = false;

  /** The next piece of the reasoning, with the white space before it but for the first's. */
  #trimmed(piece: string): string {
    const text = this.#begun ? piece : piece.trimStart();
    const kept = text.trimEnd();
    if (kept === '') {
      this.#space += text;
      return '';
    }
    const given = this.#space + kept;
    this.#space = text.slice(kept.length);
    this.#begun = true;
    return given;
  }

  #skipSpace(): void {
    this.#held = this.#held.trimStart();
    if (this.#held !== '') this.#place = 'answer';
  }

  #take(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** How many characters at the end of `text` are a beginning of `tag`. */
export function beginningAtEnd(text: string, tag: string): number {
  for (let length = Math.min(text.length, tag.length - 1); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length;
  }
  return 0;
}
