import type { Range, Regex, Regexes } from '../regex/regexes.ts';
import { type CharRegex, lower } from '../regex/syntax.ts';
import { intersection } from '../regex/utf8.ts';
import { ANY_CHARACTER, type StringPart, type StringSet } from './strings.ts';

/** Two-character escapes, and their code points. */
const SHORT: readonly (readonly [escape: string, code: number])[] = [
  ['"', 0x22],
  ['\\', 0x5c],
  ['b', 0x08],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
];
/** Characters that are always escaped. JSON requires this of all but the last, DEL. */
const ESCAPED: readonly Range[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
  [0x7f, 0x7f],
];
const RAW: readonly Range[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x7e],
  [0x80, 0x10ffff],
];
/** Characters of `ESCAPED` that may be escaped as \uXXXX. */
const BY_NUMBER: readonly Range[] = [
  [0, 0x1f],
  [0x7f, 0x7f],
];
const SCALARS: readonly Range[] = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];
/** Letters that may follow a backslash in a string; `u` stands for \uXXXX. */
export const ALL_ESCAPES = 'nrbtf\\"u';
/** Texts that need no escape. */
const PLAIN = /^[^\0-\x1f"\\\x7f]*$/;

/** Expressions of JSON strings for one grammar. */
export class Quoting {
  readonly #strings = new Map<StringSet, Regex>();
  readonly #lowered = new Map<CharRegex, Regex>();
  readonly #chars = new Map<string, Regex>();
  readonly #anyChar: Regex;
  readonly #isGeneral: boolean;

  /**
   * `escapes`: letters that may follow a backslash. `general`: strings without a pattern may also have any character
   * escaped as \uXXXX, and one above 0xFFFF as two of them.
   */
  constructor(
    private readonly regexes: Regexes,
    private readonly escapes: string,
    general: boolean,
  ) {
    const any = this.#char(ANY_CHARACTER.ranges);
    this.#isGeneral = general && escapes.includes('u');
    this.#anyChar = this.#isGeneral ? regexes.or(any, this.#numbered([[0, 0x10ffff]])) : any;
  }

  /** A string of the set, with quotes. */
  string(set: StringSet): Regex {
    let regex = this.#strings.get(set);
    if (regex === undefined) this.#strings.set(set, (regex = this.#string(set)));
    return regex;
  }

  #string(set: StringSet): Regex {
    const { regexes } = this;
    const parts = set.parts.map((part) => this.#part(part));
    const values = Array.from(set.values, (value) => this.#literal(value, false));
    const quote = regexes.text('"');
    return regexes.concat(quote, regexes.or(...parts, ...values), quote);
  }

  #part({ patterns, least, most, except }: StringPart): Regex {
    const { regexes } = this;
    const all: Regex[] = [];
    for (const pattern of patterns) {
      let regex = this.#lowered.get(pattern);
      if (regex === undefined) {
        regex = lower(pattern, regexes, (ranges) => this.#char(ranges));
        this.#lowered.set(pattern, regex);
      }
      all.push(regex);
    }
    if (patterns.length === 0 || least > 0 || most < Infinity) all.push(regexes.repeat(this.#anyChar, least, most));
    if (except.size > 0) {
      const written = Array.from(except, (value) => this.#literal(value, this.#isGeneral));
      all.push(regexes.not(regexes.or(...written)));
    }
    return regexes.and(...all);
  }

  /** All JSON texts of a string, without quotes; if `general`, also those with unnecessary escapes. */
  #literal(value: string, general: boolean): Regex {
    const { regexes } = this;
    if (!value.isWellFormed()) return regexes.nothing;
    if (!general && PLAIN.test(value)) return regexes.text(value);
    const chars = Array.from(value, (char) => {
      const code = char.codePointAt(0) ?? 0;
      const ranges: Range[] = [[code, code]];
      return general ? regexes.or(this.#char(ranges), this.#numbered(ranges)) : this.#char(ranges);
    });
    return regexes.concat(...chars);
  }

  /** A character of these ranges, escaped if it must be. */
  #char(ranges: readonly Range[]): Regex {
    const key = ranges.join();
    let regex = this.#chars.get(key);
    if (regex === undefined) {
      const { regexes } = this;
      regex = regexes.chars(intersection(RAW, ranges));
      const escaped = intersection(ESCAPED, ranges);
      const has = (code: number): boolean => escaped.some(([first, last]) => first <= code && code <= last);
      const short = SHORT.filter(([escape, code]) => this.escapes.includes(escape) && has(code));
      // Quotes and backslashes have no \uXXXX form, so that there is one way to write them.
      const numbered = this.escapes.includes('u') ? intersection(escaped, BY_NUMBER) : [];
      if (short.length > 0 || numbered.length > 0) {
        const letters = regexes.bytes(short.map(([escape]) => [escape.charCodeAt(0), escape.charCodeAt(0)] as const));
        regex = regexes.or(
          regex,
          short.length === 0 ? regexes.nothing : regexes.concat(regexes.text('\\'), letters),
          this.#numbered(numbered),
        );
      }
      this.#chars.set(key, regex);
    }
    return regex;
  }

  /** \uXXXX escapes of these code points: one, or a pair of surrogates. */
  #numbered(ranges: readonly Range[]): Regex {
    const { regexes } = this;
    const parts: Regex[] = [];
    for (const [first, last] of intersection(SCALARS, ranges)) {
      if (first <= 0xffff) parts.push(this.#unit(first, Math.min(last, 0xffff)));
      if (last <= 0xffff) continue;
      const from = Math.max(first, 0x10000) - 0x10000;
      const to = last - 0x10000;
      const pairs = (high: number, until: number, least: number, most: number): void =>
        void (
          high <= until &&
          parts.push(
            regexes.concat(this.#unit(0xd800 + high, 0xd800 + until), this.#unit(0xdc00 + least, 0xdc00 + most)),
          )
        );
      const [firstHigh, lastHigh] = [from >> 10, to >> 10];
      if (firstHigh === lastHigh) pairs(firstHigh, lastHigh, from & 0x3ff, to & 0x3ff);
      else {
        pairs(firstHigh, firstHigh, from & 0x3ff, 0x3ff);
        pairs(firstHigh + 1, lastHigh - 1, 0, 0x3ff);
        pairs(lastHigh, lastHigh, 0, to & 0x3ff);
      }
    }
    return regexes.or(...parts);
  }

  /** \u and four hexadecimal digits, in lower or upper case, from `first` to `last`. */
  #unit(first: number, last: number): Regex {
    const { regexes } = this;
    const digits = (low: number, high: number): Regex => {
      const codes: Range[] = [];
      for (const [from, base] of [
        [0, 0x30],
        [10, 0x61 - 10],
        [10, 0x41 - 10],
      ] as const) {
        const [a, b] = [Math.max(low, from), Math.min(high, from === 0 ? 9 : 15)];
        if (a <= b) codes.push([base + a, base + b]);
      }
      return regexes.bytes(codes);
    };
    const between = (low: number, high: number, count: number): Regex => {
      if (count === 1) return digits(low, high);
      const unit = 16 ** (count - 1);
      const [a, b] = [Math.floor(low / unit), Math.floor(high / unit)];
      if (a === b) return regexes.concat(digits(a, a), between(low % unit, high % unit, count - 1));
      const parts = [regexes.concat(digits(a, a), between(low % unit, unit - 1, count - 1))];
      if (a + 1 < b) parts.push(regexes.concat(digits(a + 1, b - 1), between(0, unit - 1, count - 1)));
      parts.push(regexes.concat(digits(b, b), between(0, high % unit, count - 1)));
      return regexes.or(...parts);
    };
    return regexes.concat(regexes.text('\\u'), between(first, last, 4));
  }
}
