/** A call as the model wrote it; `arguments` is the text of a JSON object. */
export interface WrittenCall {
  name: string;
  arguments: string;
}

/** How deep lists and dictionaries may be nested. */
const MOST_DEPTH = 100;

const NAME = /[\p{L}_][\p{L}\p{N}_.-]*/uy;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y;
const CONSTANT = /(?:True|true|False|false|None|null)(?!\w)/y;
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

/** The text ends before what is read does. */
class Unfinished extends Error {}
/** Something else is written than calls. */
class NoCalls extends Error {}

/** Gemma 4's quotes, behind which nothing is escaped. */
const GEMMA_QUOTE = '<|"|>';

/** Calls, and the place behind them; undefined where something else is written. */
export type CallsRead = { calls: WrittenCall[]; end: number } | 'unfinished' | undefined;

/**
 * Calls as Python would write them, in a list that begins at `start`: `[name(key="value", other=[1, 2])]`. Values are
 * literals; numbers are passed on as they stand there.
 */
export const pythonicCalls = (text: string, start: number): CallsRead =>
  read(text, start, (reader) => reader.list('[', ']', () => reader.pythonicCall()));

/** A call as Gemma 4 writes it, at `start`: `call:name{key:<|"|>value<|"|>,other:[1,2]}`. */
export const gemmaCall = (text: string, start: number): CallsRead =>
  read(text, start, (reader) => [reader.gemmaCall()]);

function read(text: string, start: number, calls: (reader: LiteralReader) => WrittenCall[]): CallsRead {
  const reader = new LiteralReader(text, start);
  try {
    return { calls: calls(reader), end: reader.at };
  } catch (thrown) {
    if (thrown instanceof Unfinished) return 'unfinished';
    if (thrown instanceof NoCalls) return undefined;
    throw thrown;
  }
}

/** Reads literals from `at` on, Python's and Gemma 4's, as JSON. */
class LiteralReader {
  #depth = 0;

  constructor(
    private readonly text: string,
    public at: number,
  ) {}

  gemmaCall(): WrittenCall {
    this.#match(/call:/y);
    return { name: this.#match(NAME), arguments: this.#object() };
  }

  pythonicCall(): WrittenCall {
    const name = this.#match(NAME);
    const given = this.list('(', ')', () => {
      const key = this.#match(NAME);
      this.#expect('=');
      return `${JSON.stringify(key)}: ${this.#value()}`;
    });
    return { name, arguments: `{${given.join(', ')}}` };
  }

  /** What stands between brackets, with commas between and maybe behind. */
  list<T>(open: string, close: string, item: () => T): T[] {
    if (++this.#depth > MOST_DEPTH) throw new NoCalls();
    this.#expect(open);
    const items: T[] = [];
    while (this.#next() !== close) {
      items.push(item());
      if (this.#next() !== close) this.#expect(',');
    }
    this.at++;
    this.#depth--;
    return items;
  }

  #value(): string {
    const next = this.#next();
    if (next === '"' || next === "'" || next === '<') return JSON.stringify(this.#string());
    if (next === '[') return `[${this.list('[', ']', () => this.#value()).join(', ')}]`;
    if (next === '(') return `[${this.list('(', ')', () => this.#value()).join(', ')}]`;
    if (next === '{') return this.#object();
    if (next === '-' || /\d/.test(next)) return this.#match(NUMBER);
    const constant = this.#match(CONSTANT).toLowerCase();
    return constant === 'none' ? 'null' : constant;
  }

  /** A dictionary. Gemma 4's have names without quotes as keys. */
  #object(): string {
    const members = this.list('{', '}', () => {
      const isQuoted = /["'<]/.test(this.#next());
      const key = isQuoted ? this.#string() : this.#match(NAME);
      this.#expect(':');
      return `${JSON.stringify(key)}: ${this.#value()}`;
    });
    return `{${members.join(', ')}}`;
  }

  #string(): string {
    const quote = this.#next();
    if (quote === '<') return this.#gemmaString();
    if (quote !== '"' && quote !== "'") throw new NoCalls();
    let value = '';
    for (this.at++; this.#char() !== quote; this.at++) value += this.#char() === '\\' ? this.#escaped() : this.#char();
    this.at++;
    return value;
  }

  #gemmaString(): string {
    const start = this.at + GEMMA_QUOTE.length;
    const opened = this.text.slice(this.at, start);
    if (!GEMMA_QUOTE.startsWith(opened)) throw new NoCalls();
    const end = this.text.indexOf(GEMMA_QUOTE, start);
    if (end < 0) throw new Unfinished();
    this.at = end + GEMMA_QUOTE.length;
    return this.text.slice(start, end);
  }

  /** At a backslash; leaves `at` at the last character of what it begins. An unknown one stands for itself, as in Python. */
  #escaped(): string {
    this.at++;
    const char = this.#char();
    const numDigits = HEX_DIGITS[char];
    if (numDigits === undefined) return ESCAPES[char] ?? (/[\\"']/.test(char) ? char : `\\${char}`);
    const digits = this.text.slice(this.at + 1, this.at + 1 + numDigits);
    if (!/^[\da-fA-F]*$/.test(digits)) throw new NoCalls();
    if (digits.length < numDigits) throw new Unfinished();
    const code = parseInt(digits, 16);
    if (code > 0x10ffff) throw new NoCalls();
    this.at += numDigits;
    return String.fromCodePoint(code);
  }

  /** The character at `at`. */
  #char(): string {
    const char = this.text[this.at];
    if (char === undefined) throw new Unfinished();
    return char;
  }

  /** The next character that is no white space; `at` is there then. */
  #next(): string {
    while (/\s/.test(this.#char())) this.at++;
    return this.#char();
  }

  #expect(char: string): void {
    if (this.#next() !== char) throw new NoCalls();
    this.at++;
  }

  /** A name or a number that ends with the text may go on. */
  #match(pattern: RegExp): string {
    this.#next();
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [];
    const end = this.at + (found?.length ?? 0);
    if (end === this.text.length || (found === undefined && !/[^\w.+-]/.test(this.text.slice(this.at))))
      throw new Unfinished();
    if (found === undefined) throw new NoCalls();
    this.at = end;
    return found;
  }
}
