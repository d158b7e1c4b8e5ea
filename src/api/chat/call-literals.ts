import type { IncomingText, Waiting } from './incoming-text.ts';

/** A call as the model wrote it; `arguments` is the text of a JSON object. */
export interface WrittenCall {
  name: string;
  arguments: string;
}

/** How deep lists and dictionaries may be nested. */
const MOST_DEPTH = 100;

const NAME = /^[\p{L}_][\p{L}\p{N}_.-]*$/u;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const CONSTANT = /^(?:True|true|False|false|None|null)$/;
/** What no name, number or constant has in it; of a character of two units, which may come in two pieces, each is looked at. */
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

/** Something else is written than calls. */
export class NoCalls extends Error {}

/** Gemma 4's quotes, behind which nothing is escaped. */
const GEMMA_QUOTE = '<|"|>';

/**
 * Calls as Python would write them, behind the bracket that opens their list: `name(key="value", other=[1, 2])]`. Values are
 * literals; numbers are passed on as they stand there. Throws `NoCalls` where something else is written.
 */
export const pythonicCalls = (text: IncomingText): Waiting<WrittenCall[]> => new LiteralReader(text).pythonicCalls();

/** A call as Gemma 4 writes it: `call:name{key:<|"|>value<|"|>,other:[1,2]}`. Throws `NoCalls` where something else is written. */
export const gemmaCall = (text: IncomingText): Waiting<WrittenCall> => new LiteralReader(text).gemmaCall();

/** Reads literals, Python's and Gemma 4's, as JSON. */
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

  /** What stands before a closing bracket, with commas between and maybe behind. */
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

  /** Gemma 4's have names without quotes as keys. */
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
      // What the quote shares with what stands there has no other beginning of a quote in it.
      let shared = 0;
      while (shared < GEMMA_QUOTE.length && (yield* this.text.char()) === GEMMA_QUOTE[shared]) {
        this.text.skip();
        shared++;
      }
      if (shared === GEMMA_QUOTE.length) return value;
      value += GEMMA_QUOTE.slice(0, shared);
    }
  }

  /** Behind a backslash. An unknown character stands for itself with it, as in Python. */
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

  /** A name, a number or a constant: it ends where another character comes. */
  *#word(kind: RegExp): Waiting<string> {
    yield* this.text.next();
    const word = yield* this.text.until(NO_WORD);
    if (!kind.test(word)) throw new NoCalls();
    return word;
  }
}
