import { badSchema } from './bad-schema.ts';
import { classOf, complement, intersection, literal, PLAIN, pointOf, type Range } from './code-points.ts';
import { sizeOfGrammar, tooLarge } from './grammar-size.ts';
import { isDeterministic, type Pattern, statesOf } from './pattern-automaton.ts';
import { repeated } from './repeated.ts';

const DIGITS: readonly Range[] = [[0x30, 0x39]];
const WORDS: readonly Range[] = [...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
/** `\s` of ECMAScript. */
const SPACES: readonly Range[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGITS,
  w: WORDS,
  s: SPACES,
  D: complement(DIGITS),
  W: complement(WORDS),
  S: complement(SPACES),
};
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', '0': '\0' };

/** Longest pattern, how deep its groups may lie in each other, and how often one may be repeated. */
const MOST_LENGTH = 10_000;
const MOST_DEPTH = 48;
const MOST_COUNT = 100_000;
/** Above it an automaton takes seconds to compile (docs/decisions/grammars.md). */
const MOST_STATES = 100;
/** What an attempt counts as that comes to no automaton, in characters of rules. */
const IN_VAIN = 20_000;

/** EBNF, and rules that it refers to. */
export interface PatternGrammar {
  ebnf: string;
  rules: readonly string[];
  /** Characters of its automaton's rules, also where there is no room for them. */
  spent: number;
}

/**
 * EBNF of the JSON strings' contents that match a regular expression of ECMAScript from end to end, whether it is
 * anchored or not; of characters that JSON escapes, only those that it names one by one. `at` names it in errors: what
 * no grammar can say (assertions but for `^` and `$`, back references) is refused. Rules' names begin with `name`, and
 * have `room` characters at most: a pattern whose automaton is too large is left as it stands.
 */
export function patternOf(source: string, at: string, name: string, room: number): PatternGrammar {
  if (source.length > MOST_LENGTH)
    badSchema(at, `has ${source.length} characters; at most ${MOST_LENGTH} are supported`);
  try {
    new RegExp(source, 'u');
  } catch {
    badSchema(at, 'is not a regular expression');
  }
  const pattern = new PatternReader(source, at).read();
  const counts = new Map<string, string>(); // names by what they stand for
  const ebnf = written(pattern, (each) => {
    const known = counts.get(each) ?? `${name}c${counts.size}`;
    counts.set(each, known);
    return known;
  });
  const asItStands = { ebnf, rules: Array.from(counts, ([each, own]) => `${own} ::= ${each}`), spent: 0 };
  const reason = tooLarge([`pattern ::= ${ebnf}`, ...asItStands.rules].join('\n'));
  if (reason !== undefined) badSchema(at, reason);
  if (room <= 0 || isDeterministic(pattern)) return asItStands;
  const nameOf = (state: number): string => `${name}s${state}`;
  const rules = statesOf(pattern, nameOf);
  if (!rules) return { ...asItStands, spent: IN_VAIN };
  const text = rules.join('\n');
  const fits = text.length <= room && sizeOfGrammar(text).states <= MOST_STATES;
  return { ...(fits ? { ebnf: nameOf(0), rules } : asItStands), spent: text.length };
}

/** As it stands. `rule` makes one and gives its name. */
function written(pattern: Pattern, rule: (ebnf: string) => string): string {
  switch (pattern.kind) {
    case 'text':
      return literal(pattern.text);
    case 'class':
      return classOf(pattern.ranges);
    case 'sequence':
      return pattern.parts.length === 0 ? '""' : pattern.parts.map((part) => written(part, rule)).join(' ');
    case 'alternatives':
      return `(${pattern.parts.map((part) => written(part, rule)).join(' | ')})`;
    case 'repeated':
      return repeated(written(pattern.part, rule), pattern.least, pattern.most, rule);
  }
}

class PatternReader {
  /** Of code points. */
  readonly #chars: readonly string[];
  #next = 0;
  #depth = 0;

  constructor(
    source: string,
    private readonly at: string,
  ) {
    this.#chars = Array.from(source);
  }

  read(): Pattern {
    return this.#alternatives(true);
  }

  #take(char: string): boolean {
    if (this.#chars[this.#next] !== char) return false;
    this.#next++;
    return true;
  }

  #char(): string {
    return this.#chars[this.#next++] ?? '';
  }

  #alternatives(outermost: boolean): Pattern {
    const parts = [this.#sequence(outermost)];
    while (this.#take('|')) parts.push(this.#sequence(outermost));
    return { kind: 'alternatives', parts };
  }

  #sequence(outermost: boolean): Pattern {
    const parts: Pattern[] = [];
    if (outermost) this.#take('^');
    while (this.#next < this.#chars.length && !['|', ')'].includes(this.#chars[this.#next] ?? '')) {
      if (outermost && this.#chars[this.#next] === '$' && [undefined, '|'].includes(this.#chars[this.#next + 1])) {
        this.#next++;
        break;
      }
      parts.push(this.#repeated(this.#atom()));
    }
    return { kind: 'sequence', parts };
  }

  #atom(): Pattern {
    const char = this.#char();
    if (char === '(') return this.#group();
    if (char === '.') return this.#class(complement(LINE_ENDS));
    if (char === '[') return this.#class(this.#bracket());
    if (char === '^' || char === '$') badSchema(this.at, `'${char}' is supported at the ends alone`);
    if (char !== '\\') return this.#text(char);
    const escaped = this.#escape();
    return typeof escaped === 'string' ? this.#text(escaped) : this.#class(escaped);
  }

  #group(): Pattern {
    if (this.#take('?') && !this.#take(':')) {
      const name = /^<([^>=!]+)>/u.exec(this.#chars.slice(this.#next).join(''));
      if (!name) badSchema(this.at, 'looks ahead or behind, which is not supported');
      this.#next += Array.from(name[0]).length;
    }
    if (++this.#depth > MOST_DEPTH) badSchema(this.at, `has groups nested more than ${MOST_DEPTH} deep`);
    const inner = this.#alternatives(false);
    this.#depth--;
    this.#next++; // its end
    return inner;
  }

  /** The character, or the characters, that what follows a backslash stands for. */
  #escape(): string | readonly Range[] {
    const char = this.#char();
    const ranges = CLASSES[char];
    if (ranges) return ranges;
    if (char === 'u' || char === 'x') return this.#codePoint(char);
    if (/[1-9bBkpPc]/.test(char)) badSchema(this.at, `'\\${char}' is not supported`);
    return CONTROLS[char] ?? char;
  }

  #codePoint(kind: 'u' | 'x'): string {
    const rest = this.#chars.slice(this.#next).join('');
    const hex = kind === 'x' ? /^([0-9a-f]{2})/i : /^(?:\{([0-9a-f]+)\}|([0-9a-f]{4}))/i;
    const [, high, low] = /^(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/i.exec(rest) ?? [];
    if (kind === 'u' && high !== undefined && low !== undefined) {
      this.#next += 'd800\\udc00'.length;
      return String.fromCharCode(parseInt(high, 16), parseInt(low, 16));
    }
    const [all = '', braced, plain] = hex.exec(rest) ?? [];
    this.#next += all.length;
    return String.fromCodePoint(parseInt(braced ?? plain ?? '0', 16));
  }

  #bracket(): readonly Range[] {
    const isNegated = this.#take('^');
    const ranges: Range[] = [];
    while (!this.#take(']')) {
      const from = this.#member();
      if (typeof from !== 'string') ranges.push(...from);
      else if (this.#chars[this.#next] === '-' && this.#chars[this.#next + 1] !== ']') {
        this.#next++;
        ranges.push([pointOf(from), pointOf(this.#member() as string)]); // a class ends no range: not with the flag u
      } else ranges.push([pointOf(from), pointOf(from)]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  #member(): string | readonly Range[] {
    return this.#take('\\') ? this.#escape() : this.#char();
  }

  /** A character as it stands in a JSON string. */
  #text(char: string): Pattern {
    if (!char.isWellFormed()) badSchema(this.at, 'has half a character');
    return { kind: 'text', text: JSON.stringify(char).slice(1, -1) };
  }

  #class(ranges: readonly Range[]): Pattern {
    const plain = intersection(ranges, PLAIN);
    if (plain.length === 0)
      badSchema(this.at, 'has a class of characters that JSON escapes alone, which is not supported');
    return { kind: 'class', ranges: plain };
  }

  #repeated(part: Pattern): Pattern {
    const counts = this.#quantifier();
    if (!counts) return part;
    this.#take('?'); // lazy or not, the same strings match
    const [least, most] = counts;
    const largest = most === Infinity ? least : most;
    if (largest > MOST_COUNT) badSchema(this.at, `counts to ${largest}; at most ${MOST_COUNT} is supported`);
    return { kind: 'repeated', part, least, most };
  }

  #quantifier(): readonly [least: number, most: number] | undefined {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    if (!this.#take('{')) return undefined;
    const end = this.#chars.indexOf('}', this.#next);
    const [least = '', most] = this.#chars.slice(this.#next, end).join('').split(',');
    this.#next = end + 1;
    return [Number(least), most === undefined ? Number(least) : most === '' ? Infinity : Number(most)];
  }
}
