/** How good a place the end of a token is to end a chunk. */
export const BOUNDARY = { none: 0, sentence: 1, line: 2, block: 3 } as const;

const FENCE = /^[ \t]*(```|~~~)/;
const SENTENCE_END = /[.!?…。！？]["'”’)\]]*\s*$/u;
/** A decimal point, or the dot after an initial or a list's number, as far as the past can tell. */
const INNER_DOT = /(?:\d|(?:^|\s)\p{L})\.$/u;
/** Enough of a line to see a fence at its start, and an initial at its end. */
const KEPT_CHARS = 16;

/** How good a place to end a chunk lies right before a token, and how good a one right after it. */
export interface Boundaries {
  before: number;
  after: number;
}

/**
 * Finds ends of sentences, lines, paragraphs and fenced code, from the text up to and including each token. A line ends
 * before its break: the break belongs to what follows, which is decided there.
 */
export class BoundaryDetector {
  /** The beginning and the end of the current line. */
  private head = '';
  private tail = '';
  /** Nothing but breaks since a line ended. */
  private isBroken = false;

  push(text: string): Boundaries {
    const newline = text.lastIndexOf('\n');
    if (newline >= 0) {
      const line = this.head + text.slice(0, text.indexOf('\n'));
      const isBlock = FENCE.test(line) || /\n\s*\n/.test(text);
      this.head = text.slice(newline + 1, newline + 1 + KEPT_CHARS);
      this.tail = text.slice(newline + 1).slice(-KEPT_CHARS);
      const before = this.isBroken ? BOUNDARY.none : isBlock ? BOUNDARY.block : BOUNDARY.line;
      this.isBroken = text.slice(newline).trim() === '';
      return { before, after: BOUNDARY.none };
    }
    this.isBroken &&= text.trim() === '';
    this.head = (this.head + text).slice(0, KEPT_CHARS);
    this.tail = (this.tail + text).slice(-KEPT_CHARS);
    const isSentence = SENTENCE_END.test(this.tail) && !INNER_DOT.test(this.tail) && text.trim() !== '';
    return { before: BOUNDARY.none, after: isSentence ? BOUNDARY.sentence : BOUNDARY.none };
  }
}
