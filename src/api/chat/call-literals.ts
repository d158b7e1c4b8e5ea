import type { IncomingText, Waiting } from './incoming-text.ts';

/** A call from the model's text; `arguments` is the text of a JSON object. */
export interface WrittenCall {
  name: string;
  arguments: string;
}

/** Maximum nesting of lists and dictionaries. */
const MOST_DEPTH = 100;

const NAME = /^[\p{L}_][\p{L}\p{N}_.-]*$/u;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const CONSTANT = /^(?:True|true|False|false|None|null)$/;
/** A character that ends a name, number or constant. Surrogates do not: their two halves may come in two pieces. */
const NO_WORD = /[^\p{L}\p{N}_.+\-\ud800-\udfff]/u;
const ESCAPES: Record<string, string> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  '0': '\0',
  '\n': '',
};
const HEX_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };

/** The text is no call. */
export class NoCalls extends Error {}

/** Gemma 4's quotes; nothing inside them is escaped. */
const GEMMA_QUOTE = '<|"|>';

/**
 * Reads calls in Python's notation, after the bracket that opens their list: `name(key="value", other=[1, 2])]`. Values are
 * literals; numbers keep their notation. Throws `NoCalls` for other text.
 */
export const pythonicCalls = (text: IncomingText): Waiting<WrittenCall[]> => new LiteralReader(text).pythonicCalls();

/** Reads a call in Gemma 4's notation: `call:name{key:<|"|>value<|"|>,other:[1,2]}`. Throws `NoCalls` for other text. */
export const gemmaCall = (text: IncomingText): Waiting<WrittenCall> => new LiteralReader(text).gemmaCall();

/** Converts literals in Python's and Gemma 4's notation to JSON. */
class LiteralReader {
  #depth = 0;

  constructor(private readonly text: IncomingText) {}

  *gemmaCall(): Waiting<WrittenCall> {
    if (!(yield* this.text.begins('call:'))) throw new NoCalls();
    return { name: yield* this.#word(NAME), arguments: yield* this.#object() };
  }

  *pythonicCalls(): Waiting<WrittenCall[]> {
    return yield* this.#items(']', () => this.#pythonicCall());
  }

  *#pythonicCall(): Waiting<WrittenCall> {
    const name = yield* this.#word(NAME);
    const given = yield* this.#list('(', ')', () => this.#argument());
    return { name, arguments: `{${given.join(', ')}}` };
  }

  *#argument(): Waiting<string> {
    const key = yield* this.#word(NAME);
    yield* this.#expect('=');
    return `${JSON.stringify(key)}: ${yield* this.#value()}`;
  }

  *#list<T>(open: string, close: string, item: () => Waiting<T>): Waiting<T[]> {
    yield* this.#expect(open);
    return yield* this.#items(close, item);
  }

  /** Items before a closing bracket, separated by commas; a trailing comma is allowed. */
  *#items<T>(close: string, item: () => Waiting<T>): Waiting<T[]> {
    if (++this.#depth > MOST_DEPTH) throw new NoCalls();
    const items: T[] = [];
    while ((yield* this.text.next()) !== close) {
      items.push(yield* item());
      if ((yield* this.text.next()) !== close) yield* this.#expect(',');
    }
    this.text.skip();
    this.#depth--;
    return items;
  }

  *#value(): Waiting<string> {
    const next = yield* this.text.next();
    if (next === '"' || next === "'" || next === '<') return JSON.stringify(yield* this.#string());
    if (next === '[') return `[${(yield* this.#list('[', ']', () => this.#value())).join(', ')}]`;
    if (next === '(') return `[${(yield* this.#list('(', ')', () => this.#value())).join(', ')}]`;
    if (next === '{') return yield* this.#object();
    if (next === '-' || /\d/.test(next)) return yield* this.#word(NUMBER);
    const constant = (yield* this.#word(CONSTANT)).toLowerCase();
    return constant === 'none' ? 'null' : constant;
  }

  /** A dictionary. */
  *#object(): Waiting<string> {
    const members = yield* this.#list('{', '}', () => this.#member());
    return `{${members.join(', ')}}`;
  }

  /** Gemma 4 writes keys without quotes. */
  *#member(): Waiting<string> {
    const isQuoted = /["'<]/.test(yield* this.text.next());
    const key = isQuoted ? yield* this.#string() : yield* this.#word(NAME);
    yield* this.#expect(':');
    return `${JSON.stringify(key)}: ${yield* this.#value()}`;
  }

  *#string(): Waiting<string> {
    const quote = yield* this.text.next();
    if (quote === '<') return yield* this.#gemmaString();
    if (quote !== '"' && quote !== "'") throw new NoCalls();
    this.text.skip();
    const others = quote === '"' ? /["\\]/ : /['\\]/;
    let value = '';
    for (;;) {
      value += yield* this.text.until(others);
      const char = yield* this.text.char();
      this.text.skip();
      if (char === quote) return value;
      value += yield* this.#escaped();
    }
  }

  *#gemmaString(): Waiting<string> {
    if (!(yield* this.text.begins(GEMMA_QUOTE))) throw new NoCalls();
    let value = '';
    for (;;) {
      value += yield* this.text.until(/</);
      // A partial match of the quote cannot contain the start of another match.
      let shared = 0;
      while (shared < GEMMA_QUOTE.length && (yield* this.text.char()) === GEMMA_QUOTE[shared]) {
        this.text.skip();
        shared++;
      }
      if (shared === GEMMA_QUOTE.length) return value;
      value += GEMMA_QUOTE.slice(0, shared);
    }
  }

  /** The character after a backslash. As in Python, an unknown escape keeps its backslash. */
  *#escaped(): Waiting<string> {
    const char = yield* this.text.char();
    this.text.skip();
    const numDigits = HEX_DIGITS[char];
    if (numDigits === undefined) return ESCAPES[char] ?? (/[\\"']/.test(char) ? char : `\\${char}`);
    let digits = '';
    while (digits.length < numDigits) {
      const digit = yield* this.text.char();
      if (!/[\da-fA-F]/.test(digit)) throw new NoCalls();
      digits += digit;
      this.text.skip();
    }
    const code = parseInt(digits, 16);
    if (code > 0x10ffff) throw new NoCalls();
    return String.fromCodePoint(code);
  }

  *#expect(char: string): Waiting<void> {
    if ((yield* this.text.next()) !== char) throw new NoCalls();
    this.text.skip();
  }

  /** Reads a name, a number or a constant. */
  *#word(kind: RegExp): Waiting<string> {
    yield* this.text.next();
    const word = yield* this.text.until(NO_WORD);
    if (!kind.test(word)) throw new NoCalls();
    return word;
  }
}
