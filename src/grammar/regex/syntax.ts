import { type Fuel, GrammarError } from '../limits.ts';
import { type Pattern, resolved } from './assertions.ts';
import type { Range } from './byte-sets.ts';
import type { CharRegex } from './char-regex.ts';
import { type Dialect, escapedClass, lineEnds, posixClass, propertyRanges, withCaseVariants } from './char-classes.ts';
import type { Regex, Regexes } from './regexes.ts';
import { complement, intersection, normalized } from './utf8.ts';

export type { CharRegex, Dialect };

/** Deepest nesting of groups. */
const DEEPEST = 500;
/** Longest source, in UTF-16 units. */
const LONGEST = 1 << 18;
/** Most ranges in all classes of a pattern together. */
const MOST_RANGES = 1 << 19;

interface Flags {
  /** i */
  ignoresCase: boolean;
  /** m */
  isMultiline: boolean;
  /** s */
  dotMatchesAll: boolean;
  /** x */
  ignoresSpace: boolean;
  /** U */
  isLazyByDefault: boolean;
  /** u */
  isUnicode: boolean;
}

const NO_FLAGS: Flags = {
  ignoresCase: false,
  isMultiline: false,
  dotMatchesAll: false,
  ignoresSpace: false,
  isLazyByDefault: false,
  isUnicode: true,
};
const FLAG_OF: Readonly<Record<string, keyof Flags>> = {
  i: 'ignoresCase',
  m: 'isMultiline',
  s: 'dotMatchesAll',
  x: 'ignoresSpace',
  U: 'isLazyByDefault',
  u: 'isUnicode',
};

interface PatternOptions {
  /** Place of the pattern, for errors. */
  at?: string;
  /** Flags as after a literal: `i`, `m`, `s`, `x`, `u`, `U`. */
  flags?: string;
  /** Pays for parsing, which takes at most a second. */
  fuel?: Fuel;
}

/**
 * Parses the source of a regular expression. `ecma`: as in JSON Schema's `pattern`, the tree matches whole texts that
 * contain a match, so text may surround the match unless the pattern has ^ and $. `rust`: the syntax of the crate
 * `regex`; the pattern matches the whole text. Throws a `GrammarError` if the source is invalid or not expressible as a
 * regular language.
 */
export function parsePattern(
  source: string,
  dialect: Dialect,
  { at = '', flags = '', fuel }: PatternOptions = {},
): CharRegex {
  try {
    if (source.length > LONGEST) throw new GrammarError(`has ${source.length} characters; at most ${LONGEST} are read`);
    fuel?.use(1 + (source.length >> 1));
    const parser = new PatternParser(source, dialect, withFlags(NO_FLAGS, flags, true));
    const pattern = parser.parse();
    fuel?.use(parser.ranges >> 2);
    return resolved(pattern, dialect === 'rust', fuel);
  } catch (error) {
    if (!(error instanceof GrammarError) || (fuel && fuel.left < 0)) throw error;
    throw new GrammarError(`the pattern ${shown(source)} ${error.reason}`, at);
  }
}

const shown = (source: string): string => JSON.stringify(source.length > 60 ? `${source.slice(0, 57)}...` : source);

function withFlags(before: Flags, letters: string, value: boolean): Flags {
  const flags = { ...before };
  for (const letter of letters) {
    const name = Object.hasOwn(FLAG_OF, letter) ? FLAG_OF[letter] : undefined;
    if (!name)
      throw new GrammarError(
        `has a flag ${JSON.stringify(letter)}, which is not one of ${Object.keys(FLAG_OF).join()}`,
      );
    flags[name] = value;
  }
  return flags;
}

/** An open group: its finished alternatives, the parts of the current one, and the pattern it becomes. */
interface Group {
  alternatives: Pattern[];
  sequence: Pattern[];
  /** The flags before the group, restored after it. */
  flags: Flags;
  close(body: Pattern): Pattern;
}

const EMPTY: Pattern = { kind: 'empty' };

class PatternParser {
  readonly #chars: readonly string[];
  readonly #dialect: Dialect;
  #flags: Flags;
  #at = 0;
  /** Number of ranges in the classes so far. */
  ranges = 0;

  constructor(source: string, dialect: Dialect, flags: Flags) {
    this.#chars = Array.from(source);
    this.#dialect = dialect;
    this.#flags = flags;
  }

  parse(): Pattern {
    const groups: Group[] = [{ alternatives: [], sequence: [], flags: this.#flags, close: (body) => body }];
    for (;;) {
      const group = groups.at(-1)!;
      this.#skipSpace();
      const char = this.#chars[this.#at];
      if (char === undefined) {
        if (groups.length > 1) this.#fail('has a group that is not closed');
        return finished(group);
      }
      if (char === '|') {
        this.#at++;
        group.alternatives.push(sequence(group.sequence));
        group.sequence = [];
      } else if (char === '(') {
        const opened = this.#openGroup(group);
        if (opened) groups.push(opened);
        if (groups.length > DEEPEST) this.#fail(`nests groups more than ${DEEPEST} deep`);
      } else if (char === ')') {
        if (groups.length === 1) this.#fail('has a ) without its (');
        this.#at++;
        groups.pop();
        this.#flags = group.flags;
        groups.at(-1)!.sequence.push(this.#quantified(group.close(finished(group))));
      } else group.sequence.push(this.#quantified(this.#atom()));
    }
  }

  /** Reads the opening of a group; undefined: it only sets flags from here on. */
  #openGroup(around: Group): Group | undefined {
    this.#at++;
    const group: Group = { alternatives: [], sequence: [], flags: this.#flags, close: (body) => body };
    if (!this.#take('?')) return group;
    for (const [start, isAhead, isNegated] of LOOKS) {
      if (!this.#take(start)) continue;
      if (this.#dialect === 'rust') this.#fail('has look-around, which this dialect has not');
      group.close = (part) => ({ kind: 'look', isAhead, isNegated, part });
      return group;
    }
    if (this.#take(':')) return group;
    if (this.#take('P<') || this.#take('<')) {
      if (this.#nameTo('>') === '') this.#fail('has a group whose name is empty');
      return group;
    }
    if (this.#take('>') || this.#take('P=') || this.#take('P>'))
      this.#fail('has a kind of group that is not supported');
    let flags = this.#flags;
    let value = true;
    for (;;) {
      const char = this.#chars[this.#at++];
      if (char === undefined) this.#fail('has a group that is not closed');
      if (char === ')') {
        // They hold to the end of the enclosing group, which restores the flags before it.
        if (around.sequence.length > 0 && this.#dialect === 'ecma') this.#fail('changes flags after its start');
        this.#flags = flags;
        return undefined;
      }
      if (char === ':') {
        this.#flags = flags;
        return group;
      }
      if (char === '-') value = false;
      else flags = withFlags(flags, char, value);
    }
  }

  #nameTo(end: string): string {
    let name = '';
    for (;;) {
      const char = this.#chars[this.#at++];
      if (char === undefined) this.#fail(`has a name without its ${end}`);
      if (char === end) return name;
      name += char;
    }
  }

  /** The atom with its quantifiers. */
  #quantified(atom: Pattern): Pattern {
    for (let pattern = atom, isFirst = true; ; isFirst = false) {
      this.#skipSpace();
      const counts = this.#counts();
      if (!counts) return pattern;
      if (!isFirst && this.#dialect === 'ecma') this.#fail('has a quantifier after another');
      const [least, most] = counts;
      if (most < least) this.#fail(`repeats from ${least} to ${most} times`);
      // Lazy or greedy makes no difference to the language.
      if (!this.#take('?') && this.#dialect === 'ecma' && this.#chars[this.#at] === '+') {
        this.#fail('has a possessive quantifier');
      }
      pattern = { kind: 'repeat', part: pattern, least, most };
    }
  }

  #counts(): [least: number, most: number] | undefined {
    const char = this.#chars[this.#at];
    if (char === '*' || char === '+' || char === '?') {
      this.#at++;
      return [char === '+' ? 1 : 0, char === '?' ? 1 : Infinity];
    }
    return char === '{' ? this.#braces() : undefined;
  }

  /** {2}, {2,} or {2,5}; anything else is text in ECMAScript. */
  #braces(): [least: number, most: number] | undefined {
    const end = this.#chars.indexOf('}', this.#at);
    const inside = end < 0 ? '' : this.#chars.slice(this.#at + 1, Math.min(end, this.#at + 40)).join('');
    const trimmed = this.#dialect === 'rust' ? inside.replaceAll(/\s/g, '') : inside;
    const match = /^(\d*)(,?)(\d*)$/.exec(trimmed);
    if (!match || trimmed === '' || trimmed === ',') {
      if (this.#dialect === 'rust') this.#fail('has a { that begins no count');
      return undefined;
    }
    const [, least = '', comma = '', most = ''] = match;
    if (least === '' && this.#dialect === 'ecma')
      this.#fail(`has {${inside}}, which is {0${inside}} in other dialects and text in ECMAScript`);
    this.#at = end + 1;
    const from = least === '' ? 0 : Number(least);
    return [from, comma === '' ? from : most === '' ? Infinity : Number(most)];
  }

  #atom(): Pattern {
    const char = this.#chars[this.#at++]!;
    switch (char) {
      case '^':
        return { kind: 'start', isOfLine: this.#flags.isMultiline };
      case '$':
        return { kind: 'end', isOfLine: this.#flags.isMultiline };
      case '.':
        return chars(this.#flags.dotMatchesAll ? ANY : complement(lineEnds(this.#dialect)));
      case '[':
        return chars(this.#class());
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        return this.#fail(`has a ${char} with nothing before it`);
      case '{':
        this.#at--;
        if (this.#braces()) this.#fail('has a count with nothing before it');
        this.#at++;
        return this.#literal(char);
      default:
        return this.#literal(char);
    }
  }

  #literal(char: string): Pattern {
    const point = char.codePointAt(0)!;
    return chars(this.#cased([[point, point]]));
  }

  /** The ranges, with their case variants if case is ignored. */
  #cased(ranges: readonly Range[]): readonly Range[] {
    this.ranges += ranges.length;
    if (this.ranges > MOST_RANGES) this.#fail('lists too many characters in its classes');
    return this.#flags.ignoresCase ? withCaseVariants(ranges) : ranges;
  }

  /** An escape outside of a class, after the \. */
  #escape(): Pattern {
    const char = this.#chars[this.#at];
    const isRust = this.#dialect === 'rust';
    if (char === 'b' || char === 'B') {
      this.#at++;
      if (isRust && this.#chars[this.#at] === '{') this.#fail(`has \\${char}{...}, which is not supported`);
      const word = this.#cased(escapedClass('w', this.#dialect, this.#flags.isUnicode));
      return { kind: 'boundary', word, isNegated: char === 'B' };
    }
    if (char === 'A' || char === 'z' || char === 'Z') {
      if (!isRust) this.#fail(`has \\${char}, which ECMAScript has not: ^ and $ are the ends of the text`);
      this.#at++;
      if (char === 'Z') this.#fail('has \\Z, which is not supported: \\z is the end of the text');
      return { kind: char === 'A' ? 'start' : 'end', isOfLine: false };
    }
    if (char !== undefined && /[1-9]/.test(char))
      this.#fail(`has \\${char}, a reference to a group, which is not supported`);
    if (!isRust && char === 'k' && this.#chars[this.#at + 1] === '<') {
      this.#fail('has \\k, a reference to a group, which is not supported');
    }
    const ranges = this.#classEscape();
    return chars(ranges ?? this.#cased(pointRange(this.#charEscape(false))));
  }

  /** \d, \w, \s, \p{...} and their complements, after the \; undefined if another character follows. */
  #classEscape(): readonly Range[] | undefined {
    const char = this.#chars[this.#at];
    if (char === undefined) return undefined;
    const lower = char.toLowerCase();
    let ranges: readonly Range[];
    if (lower === 'd' || lower === 'w' || lower === 's') {
      this.#at++;
      ranges = escapedClass(lower, this.#dialect, this.#flags.isUnicode);
      if (lower === 'w') ranges = this.#cased(ranges);
    } else if (lower === 'p') {
      this.#at++;
      let isNegated = false;
      let name: string;
      if (this.#take('{')) {
        isNegated = this.#dialect === 'rust' && this.#take('^');
        name = this.#nameTo('}');
      } else if (this.#dialect === 'rust') name = this.#chars[this.#at++] ?? '';
      else return this.#fail(`has \\${char} without {`);
      ranges = this.#cased(propertyRanges(name, this.#dialect));
      if (isNegated) ranges = complement(ranges);
    } else return undefined;
    return char === lower ? ranges : complement(ranges);
  }

  /** The code point of a character escape, after the \. */
  #charEscape(isInClass: boolean): number {
    const char = this.#chars[this.#at++];
    switch (char) {
      case undefined:
        return this.#fail('ends in \\');
      case 't':
        return 0x09;
      case 'n':
        return 0x0a;
      case 'v':
        return 0x0b;
      case 'f':
        return 0x0c;
      case 'r':
        return 0x0d;
      case 'a':
        if (this.#dialect === 'rust') return 0x07;
        break;
      case 'e':
        if (this.#dialect === 'rust') this.#fail('has \\e, which is not supported: \\x1B is the same');
        break;
      case 'b':
        if (isInClass && this.#dialect === 'ecma') return 0x08;
        break;
      case '0':
        if (this.#dialect === 'rust') break;
        if (/\d/.test(this.#chars[this.#at] ?? ''))
          this.#fail('has an octal escape, which is not supported: write \\xHH');
        return 0;
      case 'c': {
        const letter = this.#chars[this.#at] ?? '';
        if (this.#dialect === 'rust' || !/[a-zA-Z]/.test(letter)) this.#fail('has \\c without a letter');
        this.#at++;
        return letter.codePointAt(0)! % 32;
      }
      case 'x':
        return this.#dialect === 'rust' && this.#take('{') ? this.#bracedPoint() : this.#hex(2);
      case 'u':
        return this.#take('{') ? this.#bracedPoint() : this.#unicodeEscape();
      case 'U':
        if (this.#dialect === 'rust') return this.#take('{') ? this.#bracedPoint() : this.#hex(8);
        break;
    }
    // In ECMAScript an escaped letter without a meaning stands for itself, as in browsers.
    if (this.#dialect === 'rust' && /[a-zA-Z0-9<>\u0080-\u{10ffff}]/u.test(char))
      this.#fail(`has \\${char}, which is no escape`);
    if (/[1-9]/.test(char)) this.#fail(`has \\${char}, which is no escape in a class`);
    return char.codePointAt(0)!;
  }

  /** \uHHHH; in ECMAScript also two of them as a surrogate pair, for a character beyond the first 65,536. */
  #unicodeEscape(): number {
    const first = this.#hex(4);
    const isPair = this.#dialect === 'ecma' && first >= 0xd800 && first <= 0xdbff;
    if (!isPair || this.#chars[this.#at] !== '\\' || this.#chars[this.#at + 1] !== 'u') return first;
    const second = Number.parseInt(this.#chars.slice(this.#at + 2, this.#at + 6).join(''), 16);
    if (!(second >= 0xdc00 && second <= 0xdfff)) return first;
    this.#at += 6;
    return 0x10000 + (first - 0xd800) * 0x400 + (second - 0xdc00);
  }

  #hex(digits: number): number {
    const text = this.#chars.slice(this.#at, this.#at + digits).join('');
    if (text.length !== digits || !/^[0-9a-fA-F]+$/.test(text))
      this.#fail(`has an escape without its ${digits} hexadecimal digits`);
    this.#at += digits;
    return this.#checkedPoint(Number.parseInt(text, 16));
  }

  #bracedPoint(): number {
    const text = this.#nameTo('}');
    if (!/^[0-9a-fA-F]+$/.test(text)) this.#fail(`has {${text}}, which is no hexadecimal number`);
    return this.#checkedPoint(Number.parseInt(text, 16));
  }

  #checkedPoint(point: number): number {
    return point <= 0x10ffff ? point : this.#fail('has an escape beyond U+10FFFF');
  }

  /** Reads a class after its [. Only Rust has nested classes. */
  #class(): readonly Range[] {
    /** For each open class: its ranges so far, and the left side of &&, -- or ~~ with that operator. */
    const open: OpenClass[] = [this.#openClass()];
    for (;;) {
      const current = open.at(-1)!;
      if (this.#flags.ignoresSpace && this.#dialect === 'rust') this.#skipSpace();
      const char = this.#chars[this.#at];
      if (char === undefined) this.#fail('has a class that is not closed');
      const isFirst = this.#at === current.firstAt;
      if (char === ']' && !(isFirst && this.#dialect === 'rust')) {
        this.#at++;
        const ranges = this.#closed(current);
        open.pop();
        const outer = open.at(-1);
        if (!outer) return ranges;
        for (const range of ranges) outer.ranges.push(range);
        continue;
      }
      if (this.#dialect === 'rust') {
        if (char === '[') {
          const posix = this.#posix();
          if (posix) current.ranges.push(...this.#cased(posix));
          else {
            this.#at++;
            open.push(this.#openClass());
            if (open.length > DEEPEST) this.#fail(`nests classes more than ${DEEPEST} deep`);
          }
          continue;
        }
        const operator = ['&&', '--', '~~'].find((each) => this.#take(each));
        if (operator) {
          current.left = combined(current, this.#cased(normalized(current.ranges)));
          current.operator = operator;
          current.ranges = [];
          continue;
        }
      }
      this.#classItem(current.ranges);
    }
  }

  #openClass(): OpenClass {
    const isNegated = this.#take('^');
    return { isNegated, firstAt: this.#at, ranges: [] };
  }

  #closed(current: OpenClass): readonly Range[] {
    const ranges = combined(current, this.#cased(normalized(current.ranges)));
    return current.isNegated ? complement(ranges) : ranges;
  }

  /** A character, a range or an escaped class. */
  #classItem(ranges: Range[]): void {
    const first = this.#classAtom();
    const isRange = this.#chars[this.#at] === '-' && ![']', undefined].includes(this.#chars[this.#at + 1]);
    const isDifference = this.#dialect === 'rust' && this.#chars[this.#at + 1] === '-';
    if (!isRange || isDifference) {
      ranges.push(...(typeof first === 'number' ? pointRange(first) : first));
      return;
    }
    this.#at++;
    const last = this.#classAtom();
    if (typeof first === 'number' && typeof last === 'number') {
      if (last < first) this.#fail('has a class with a range that ends before it begins');
      ranges.push([first, last]);
      return;
    }
    // [\w-.]: not a range, but three items.
    if (this.#dialect === 'rust') this.#fail('has a class with a range that is none');
    for (const each of [first, 0x2d, last]) ranges.push(...(typeof each === 'number' ? pointRange(each) : each));
  }

  #classAtom(): number | readonly Range[] {
    const char = this.#chars[this.#at++]!;
    if (char !== '\\') return char.codePointAt(0)!;
    return this.#classEscape() ?? this.#charEscape(true);
  }

  /** [:alpha:] or [:^alpha:], if it comes next. */
  #posix(): readonly Range[] | undefined {
    if (this.#chars[this.#at + 1] !== ':') return undefined;
    const match = /^\[:(\^?)(\w+):\]/.exec(this.#chars.slice(this.#at, this.#at + 16).join(''));
    const ranges = posixClass(match?.[2] ?? '');
    if (!match || !ranges) return undefined;
    this.#at += match[0].length;
    return match[1] === '' ? ranges : complement(ranges);
  }

  /** With the flag x, skips white space and comments up to the end of the line. */
  #skipSpace(): void {
    if (!this.#flags.ignoresSpace) return;
    for (let isComment = false; ; this.#at++) {
      const char = this.#chars[this.#at];
      if (char === undefined) return;
      if (isComment) isComment = char !== '\n';
      else if (char === '#') isComment = true;
      else if (!/\s/.test(char)) return;
    }
  }

  #take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#chars[this.#at + i] !== text[i]) return false;
    this.#at += text.length;
    return true;
  }

  #fail(reason: string): never {
    throw new GrammarError(`${reason} (character ${Math.min(this.#at, this.#chars.length)})`);
  }
}

interface OpenClass {
  isNegated: boolean;
  firstAt: number;
  ranges: Range[];
  left?: readonly Range[];
  operator?: string;
}

function combined({ left, operator }: OpenClass, right: readonly Range[]): readonly Range[] {
  if (!left) return right;
  const common = intersection(left, right);
  if (operator === '&&') return common;
  if (operator === '--') return intersection(left, complement(right));
  return intersection(normalized([...left, ...right]), complement(common));
}

/** The marks of look-around after `(?`, whether it is a lookahead, and whether it is negated. */
const LOOKS: readonly (readonly [start: string, isAhead: boolean, isNegated: boolean])[] = [
  ['=', true, false],
  ['!', true, true],
  ['<=', false, false],
  ['<!', false, true],
];

const ANY: readonly Range[] = [[0, 0x10ffff]];
const pointRange = (point: number): Range[] => [[point, point]];
const chars = (ranges: readonly Range[]): Pattern => ({ kind: 'chars', ranges });
const sequence = (parts: readonly Pattern[]): Pattern =>
  parts.length === 0 ? EMPTY : parts.length === 1 ? parts[0]! : { kind: 'concat', parts };

function finished(group: Group): Pattern {
  const parts = [...group.alternatives, sequence(group.sequence)];
  return parts.length === 1 ? parts[0]! : { kind: 'or', parts };
}

/**
 * The tree as an expression over bytes. `writeChar` encodes one character of a set, by default in UTF-8. Its encodings
 * of different characters must differ, and none may be a prefix of another.
 */
export function lower(
  tree: CharRegex,
  regexes: Regexes,
  writeChar: (ranges: readonly Range[]) => Regex = (ranges) => regexes.chars(ranges),
): Regex {
  const known = new Map<CharRegex, Regex>();
  const lowered = (node: CharRegex): Regex => {
    let regex = known.get(node);
    if (regex === undefined) known.set(node, (regex = lowerNode(node)));
    return regex;
  };
  const lowerAll = (parts: readonly CharRegex[]): Regex[] => {
    const all: Regex[] = [];
    for (const part of parts) all.push(lowered(part));
    return all;
  };
  const lowerNode = (node: CharRegex): Regex => {
    switch (node.kind) {
      case 'empty':
        return regexes.empty;
      case 'chars':
        return node.ranges.length === 0 ? regexes.nothing : writeChar(node.ranges);
      case 'concat':
        return regexes.sequence(lowerAll(node.parts));
      case 'or':
        return regexes.anyOf(lowerAll(node.parts));
      case 'and':
        return regexes.allOf(lowerAll(node.parts));
      case 'not':
        return regexes.and(regexes.repeat(writeChar(ANY), 0, Infinity), regexes.not(lowered(node.part)));
      case 'repeat':
        return regexes.repeat(lowered(node.part), node.least, node.most);
    }
  };
  return lowered(tree);
}
