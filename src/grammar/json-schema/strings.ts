import { Fuel, GrammarError } from '../limits.ts';
import { type Regex, Regexes } from '../regex/regexes.ts';
import { type CharRegex, lower } from '../regex/syntax.ts';

/** Strings that meet all of these conditions. */
export interface StringPart {
  /** Each matches the whole string. */
  readonly patterns: readonly CharRegex[];
  /** Length in code points. */
  readonly least: number;
  readonly most: number;
  readonly except: ReadonlySet<string>;
}

/** The union of listed strings and of parts. */
export interface StringSet {
  readonly values: ReadonlySet<string>;
  readonly parts: readonly StringPart[];
}

const NONE: ReadonlySet<string> = new Set();
/** Most work of one emptiness check, and of all checks. A part whose check needs more counts as not empty. */
const LOOK_FUEL = 10_000;
const ALL_LOOKS_FUEL = 400_000;
/** Most parts of a set: anyOf, oneOf and not multiply them. */
const MOST_PARTS = 200;
const ENCODER = new TextEncoder();

export const ANY_STRING: StringPart = { patterns: [], least: 0, most: Infinity, except: NONE };
export const ALL_STRINGS: StringSet = { values: NONE, parts: [ANY_STRING] };
export const NO_STRINGS: StringSet = { values: NONE, parts: [] };
export const ANY_CHARACTER = { kind: 'chars', ranges: [[0, 0x10ffff]] } as const satisfies CharRegex;

export const stringValues = (values: Iterable<string>): StringSet => ({ values: new Set(values), parts: [] });
export const patternStrings = (pattern: CharRegex): StringSet => ({
  values: NONE,
  parts: [{ ...ANY_STRING, patterns: [pattern] }],
});
export const hasNoString = ({ values, parts }: StringSet): boolean => values.size === 0 && parts.length === 0;

/** Length in code points. */
export function lengthOf(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length - 1; i++) if ((text.codePointAt(i) ?? 0) > 0xffff) length--;
  return length;
}

/** Operations on sets of strings, with caches of their results for patterns. */
export class StringSets {
  /** Expressions over plain text, not over JSON's escaped text; created when needed. */
  #own: Regexes | undefined;
  readonly #lowered = new Map<CharRegex, Regex>();
  readonly #others = new Map<ReadonlySet<string>, Regex>();
  readonly #isEmptyPart = new Map<StringPart, boolean>();
  #looksFuel = ALL_LOOKS_FUEL;
  readonly #complements = new Map<CharRegex, CharRegex>();

  readonly #patterns = new Map<string, CharRegex>();

  constructor(private readonly fuel: Fuel) {}

  /** The pattern of a source; equal sources share one. */
  pattern(source: string, parse: () => CharRegex): CharRegex {
    let pattern = this.#patterns.get(source);
    if (!pattern) this.#patterns.set(source, (pattern = parse()));
    return pattern;
  }

  get #regexes(): Regexes {
    this.#own ??= new Regexes(this.fuel);
    return this.#own;
  }

  /** Whether the whole text matches. */
  matches(pattern: CharRegex, text: string): boolean {
    let regex = this.#lower(pattern);
    const bytes = ENCODER.encode(text);
    this.fuel.use(bytes.length);
    this.#regexes.fuel = this.fuel;
    for (const byte of bytes) {
      regex = this.#regexes.derivative(regex, byte);
      if (regex === this.#regexes.nothing) return false;
    }
    return this.#regexes.isNullable(regex);
  }

  #lower(pattern: CharRegex): Regex {
    let regex = this.#lowered.get(pattern);
    if (regex === undefined) {
      this.#regexes.fuel = this.fuel;
      regex = lower(pattern, this.#regexes);
      this.#lowered.set(pattern, regex);
    }
    return regex;
  }

  isInPart(text: string, { patterns, least, most, except }: StringPart): boolean {
    const length = lengthOf(text);
    return (
      length >= least && length <= most && !except.has(text) && patterns.every((pattern) => this.matches(pattern, text))
    );
  }

  has({ values, parts }: StringSet, text: string): boolean {
    return values.has(text) || parts.some((part) => this.isInPart(text, part));
  }

  /** Whether the part certainly has no strings. */
  isEmptyPart(part: StringPart): boolean {
    const { patterns, least, most, except } = part;
    if (least > most) return true;
    if (patterns.length === 0) return most === 0 && except.has('');
    const known = this.#isEmptyPart.get(part);
    if (known !== undefined) return known;
    const isEmpty = this.#looksFuel > 0 && this.#lookAt(part);
    this.#isEmptyPart.set(part, isEmpty);
    return isEmpty;
  }

  #lookAt({ patterns, least, most, except }: StringPart): boolean {
    this.fuel.use(10);
    const regexes = this.#regexes;
    const parts = patterns.map((pattern) => this.#lower(pattern));
    regexes.fuel = new Fuel(LOOK_FUEL, 'the pattern');
    try {
      if (least > 0 || most < Infinity) parts.push(regexes.repeat(regexes.anyChar, least, most));
      if (except.size > 0) parts.push(this.#notAmong(except, regexes));
      return regexes.isEmptyLanguage(regexes.and(...parts));
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      if (regexes.size > 200_000) {
        this.#own = undefined;
        this.#lowered.clear();
        this.#others.clear();
      }
      return false;
    } finally {
      const used = LOOK_FUEL - regexes.fuel.left;
      this.#looksFuel -= used;
      this.fuel.use(used);
    }
  }

  #notAmong(texts: ReadonlySet<string>, regexes: Regexes): Regex {
    let regex = this.#others.get(texts);
    if (regex === undefined) {
      regex = regexes.not(regexes.or(...Array.from(texts, (text) => regexes.text(text))));
      this.#others.set(texts, regex);
    }
    return regex;
  }

  #setOf(part: StringPart): StringSet {
    return this.isEmptyPart(part) ? NO_STRINGS : { values: NONE, parts: [part] };
  }

  unite(a: StringSet, b: StringSet): StringSet {
    if (hasNoString(a) || b === ALL_STRINGS) return b;
    if (hasNoString(b) || a === ALL_STRINGS) return a;
    return { values: new Set([...a.values, ...b.values]), parts: [...new Set([...a.parts, ...b.parts])] };
  }

  intersect(a: StringSet, b: StringSet): StringSet {
    if (a === ALL_STRINGS || a === b) return b;
    if (b === ALL_STRINGS) return a;
    this.fuel.use(1 + a.values.size + b.values.size);
    let common = stringValues([
      ...[...a.values].filter((text) => this.has(b, text)),
      ...[...b.values].filter((text) => this.has(a, text)),
    ]);
    for (const left of a.parts) {
      for (const right of b.parts) {
        const part: StringPart = {
          patterns: [...new Set([...left.patterns, ...right.patterns])],
          least: Math.max(left.least, right.least),
          most: Math.min(left.most, right.most),
          except: right.except.size === 0 ? left.except : new Set([...left.except, ...right.except]),
        };
        common = this.unite(common, this.#setOf(part));
        if (common.parts.length > MOST_PARTS)
          throw new GrammarError(`comes to more than ${MOST_PARTS} cases of strings`);
      }
    }
    return common;
  }

  /** The strings that are not in the set. */
  complement({ values, parts }: StringSet): StringSet {
    let rest: StringSet =
      values.size === 0 ? ALL_STRINGS : { values: NONE, parts: [{ ...ANY_STRING, except: values }] };
    for (const part of parts) rest = this.intersect(rest, this.#complementOfPart(part));
    return rest;
  }

  #complementOfPart({ patterns, least, most, except }: StringPart): StringSet {
    const parts: StringPart[] = patterns.map((pattern) => ({ ...ANY_STRING, patterns: [this.not(pattern)] }));
    if (least > 0) parts.push({ ...ANY_STRING, most: least - 1 });
    if (most < Infinity) parts.push({ ...ANY_STRING, least: most + 1 });
    return { values: except, parts };
  }

  /** The complement of a pattern: always the same object. The complement of a complement is the pattern itself. */
  not(pattern: CharRegex): CharRegex {
    if (pattern.kind === 'not') return pattern.part;
    let complement = this.#complements.get(pattern);
    if (!complement) this.#complements.set(pattern, (complement = { kind: 'not', part: pattern }));
    return complement;
  }
}

const literalPattern = (text: string): CharRegex => ({
  kind: 'concat',
  parts: Array.from(text, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return { kind: 'chars', ranges: [[code, code]] };
  }),
});

/** A pattern that matches exactly the strings of a set. */
export function stringPattern({ values, parts }: StringSet): CharRegex {
  const alternatives: CharRegex[] = Array.from(values, literalPattern);
  for (const { patterns, least, most, except } of parts) {
    const all: CharRegex[] = [...patterns, { kind: 'repeat', part: ANY_CHARACTER, least, most }];
    if (except.size > 0) all.push({ kind: 'not', part: { kind: 'or', parts: Array.from(except, literalPattern) } });
    alternatives.push({ kind: 'and', parts: all });
  }
  return { kind: 'or', parts: alternatives };
}
