import { type Fuel, GrammarError } from '../limits.ts';

/** Most characters of a grammar's text. */
export const MOST_CHARACTERS = 256 * 1024;
/** Deepest nesting of groups. */
export const MOST_DEPTH = 200;
/** Highest number in a repetition. */
export const MOST_REPETITIONS = 1_000_000;

/** Reads the text of a grammar from its beginning to its end. Its errors name the line and the column. */
export class TextReader {
  /** Position of the next character. */
  at = 0;

  constructor(
    readonly text: string,
    fuel: Fuel,
  ) {
    if (text.length > MOST_CHARACTERS) {
      throw new GrammarError(`has ${text.length} characters, but at most ${MOST_CHARACTERS} are supported`);
    }
    fuel.use(text.length);
  }

  get isAtEnd(): boolean {
    return this.at >= this.text.length;
  }

  /** The next code point as a string; empty at the end. */
  get next(): string {
    const code = this.text.codePointAt(this.at);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  startsWith(word: string): boolean {
    return this.text.startsWith(word, this.at);
  }

  /** Skips `word` if it comes next. */
  take(word: string): boolean {
    if (!this.startsWith(word)) return false;
    this.at += word.length;
    return true;
  }

  /** Skips and returns the match of `pattern`, which is sticky, at this position. */
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  /** `line:column`, both counted from 1. */
  place(at = this.at): string {
    let line = 1;
    let start = 0;
    for (let end = this.text.indexOf('\n'); end >= 0 && end < at; end = this.text.indexOf('\n', start)) {
      line++;
      start = end + 1;
    }
    return `${line}:${[...this.text.slice(start, at)].length + 1}`;
  }

  /** The error to throw for a reason at a position. */
  readonly error = (reason: string, at = this.at): GrammarError => new GrammarError(reason, this.place(at));

  /** The error to throw if `what` is expected here. */
  expected(what: string): GrammarError {
    return this.error(
      `${what} is expected, but ${this.isAtEnd ? 'the text ends' : `${JSON.stringify(this.next)} comes`}`,
    );
  }
}

const HEX = { 2: /[\da-fA-F]{2}/y, 4: /[\da-fA-F]{4}/y, 8: /[\da-fA-F]{8}/y, any: /[\da-fA-F]+/y };

/**
 * Reads a character as its number in hexadecimal digits. A surrogate pair, `\u` before each, is one
 * character.
 */
export function readHex(reader: TextReader, digits: 2 | 4 | 8 | 'any'): string {
  const start = reader.at;
  let code = hexNumber(reader, digits);
  const isHigh = code >= 0xd800 && code <= 0xdbff;
  if (isHigh && reader.take('\\u')) {
    const low = hexNumber(reader, 4);
    code = low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : code;
  }
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    throw reader.error(`no character has the number ${code.toString(16)}`, start);
  }
  return String.fromCodePoint(code);
}

function hexNumber(reader: TextReader, digits: 2 | 4 | 8 | 'any'): number {
  const found = reader.match(HEX[digits]);
  if (found === undefined)
    throw reader.expected(digits === 'any' ? 'a hexadecimal number' : `a hexadecimal number of ${digits} digits`);
  return parseInt(found, 16);
}

/** Reads a character that stands for itself. Throws at a lone surrogate. */
export function readCharacter(reader: TextReader): string {
  const { next } = reader;
  if (/^[\ud800-\udfff]$/u.test(next)) throw reader.error('a surrogate without its pair is no character');
  reader.at += next.length;
  return next;
}

/** Reads a text in double quotes on one line. `character` reads each of its characters. */
export function readQuoted(reader: TextReader, character: () => string): string {
  const start = reader.at;
  if (!reader.take('"')) throw reader.expected('a text in quotes');
  let text = '';
  while (!reader.take('"')) {
    if (reader.isAtEnd || reader.startsWith('\n')) throw reader.error('the text is not closed on its line', start);
    text += character();
  }
  return text;
}
