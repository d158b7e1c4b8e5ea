import { GrammarError } from '../limits.ts';
import type { Range } from './byte-sets.ts';
import { normalized } from './utf8.ts';

/** Dialect of a regular expression: `ecma`, as in JSON Schema's `pattern`, or `rust`, as in Rust's crate `regex`. */
export type Dialect = 'ecma' | 'rust';

const ASCII_DIGITS: readonly Range[] = [[0x30, 0x39]];
const ASCII_WORD: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const ECMA_SPACES: readonly Range[] = [
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
/** Characters that `.` does not match. */
const ECMA_LINE_ENDS: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

/** Properties of the characters that \w matches in Rust, as Unicode's annex 18 defines them. */
const UNICODE_WORD = ['Alphabetic', 'M', 'Nd', 'Pc', 'Join_Control'];
let unicodeWord: readonly Range[] | undefined;

const POSIX: Readonly<Record<string, readonly Range[]>> = {
  alnum: normalized([...ASCII_DIGITS, [0x41, 0x5a], [0x61, 0x7a]]),
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  ascii: [[0x00, 0x7f]],
  blank: [
    [0x09, 0x09],
    [0x20, 0x20],
  ],
  cntrl: [
    [0x00, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: ASCII_DIGITS,
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  word: ASCII_WORD,
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};

/** The ASCII ranges of a POSIX class such as `[:alpha:]`; undefined for an unknown name. */
export const posixClass = (name: string): readonly Range[] | undefined =>
  Object.hasOwn(POSIX, name) ? POSIX[name] : undefined;

/** \d, \w or \s; in Rust they cover all of Unicode unless the flag `u` is off. */
export function escapedClass(letter: 'd' | 'w' | 's', dialect: Dialect, isUnicode = true): readonly Range[] {
  if (dialect === 'rust' && isUnicode) {
    if (letter === 'd') return propertyRanges('Nd', 'rust');
    if (letter === 's') return propertyRanges('White_Space', 'rust');
    unicodeWord ??= normalized(UNICODE_WORD.flatMap((name) => propertyRanges(name, 'rust')));
    return unicodeWord;
  }
  if (letter === 'd') return ASCII_DIGITS;
  if (letter === 'w') return ASCII_WORD;
  return dialect === 'rust' ? POSIX['space']! : ECMA_SPACES;
}

/** Characters that `.` does not match. */
export const lineEnds = (dialect: Dialect): readonly Range[] => (dialect === 'rust' ? [[0x0a, 0x0a]] : ECMA_LINE_ENDS);

/**
 * Ranges whose code points are tested one by one. Above them, all code points of a plane have the same properties,
 * except its last two.
 */
const LISTED: readonly Range[] = [
  [0, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x3ffff],
  [0xe0000, 0xe0fff],
];
const LISTED_AT_ONCE = 0x2000;
const knownProperties = new Map<string, readonly Range[]>();

/** The code points of \p{name}. Throws if there is no such property. */
export function propertyRanges(name: string, dialect: Dialect): readonly Range[] {
  const key = `${dialect}:${name}`;
  let ranges = knownProperties.get(key);
  if (!ranges) {
    ranges = rangesOf(propertyRegExp(name, dialect, 'gu', '+'), propertyRegExp(name, dialect, 'u', ''));
    knownProperties.set(key, ranges);
  }
  return ranges;
}

function propertyRegExp(name: string, dialect: Dialect, flags: string, suffix: string): RegExp {
  const spellings = dialect === 'rust' ? [name, `Script=${name}`, ...looseSpellings(name)] : [name];
  for (const spelling of spellings) {
    if (!/^\w+(=\w+)?$/.test(spelling)) continue;
    try {
      return new RegExp(`\\p{${spelling}}${suffix}`, flags);
    } catch {
      // Another spelling may be a property.
    }
  }
  throw new GrammarError(`\\p{${name}} is no property of Unicode`);
}

/** Rust ignores case, spaces and `_` in names: `greek`, `lowercase letter`. */
function looseSpellings(name: string): string[] {
  const words = name
    .replace(':', '=')
    .split('=')
    .map((part) => part.trim().split(/[\s_-]+/));
  const titled = words.map((part) => part.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase()));
  const joined = titled.map((part) => part.join('_'));
  const [property = '', value] = joined;
  if (value === undefined) return [property, `Script=${property}`];
  const isScript = ['script', 'sc'].includes(property.toLowerCase());
  const isCategory = ['general_category', 'gc'].includes(property.toLowerCase());
  if (isScript) return [`Script=${value}`];
  return isCategory ? [`General_Category=${value}`] : [`Script_Extensions=${value}`];
}

function rangesOf(runs: RegExp, single: RegExp): Range[] {
  const ranges: Range[] = [];
  for (const [first, last] of LISTED) {
    const width = first >= 0x10000 ? 2 : 1;
    for (let start = first; start <= last; start += LISTED_AT_ONCE) {
      const text = textOfPoints(start, Math.min(start + LISTED_AT_ONCE - 1, last));
      runs.lastIndex = 0;
      for (let match = runs.exec(text); match; match = runs.exec(text)) {
        const from = start + match.index / width;
        ranges.push([from, from + match[0].length / width - 1]);
      }
    }
  }
  const addAlike = (first: number, last: number): void => {
    if (single.test(String.fromCodePoint(first))) ranges.push([first, last]);
  };
  for (let plane = 4; plane <= 16; plane++) {
    const start = plane * 0x10000;
    addAlike(plane === 14 ? start + 0x1000 : start, start + 0xfffd);
    addAlike(start + 0xfffe, start + 0xffff);
  }
  return normalized(ranges);
}

/** The text of these code points, none a surrogate, all of the same width in UTF-16. */
function textOfPoints(first: number, last: number): string {
  const units: number[] = [];
  for (let point = first; point <= last; point++) {
    if (point < 0x10000) units.push(point);
    else units.push(0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
  }
  return String.fromCharCode(...units);
}

/** Groups of code points that differ only in case, by each of their code points. */
let caseVariants: Map<number, readonly number[]> | undefined;
const LAST_WITH_CASE = 0x1e943;
/** I with and without its dot fold to themselves, although their other case is an ASCII letter. */
const TURKISH = [0x130, 0x131];
/** Pairs that Unicode folds although neither is the other's upper or lower case. */
const FOLDED_ONLY: readonly (readonly [number, number])[] = [
  [0x390, 0x1fd3],
  [0x3b0, 0x1fe3],
  [0xfb05, 0xfb06],
];

function variantsByPoint(): Map<number, readonly number[]> {
  if (caseVariants) return caseVariants;
  const groups = new Map<number, number[]>();
  for (let point = 0x41; point <= LAST_WITH_CASE; point++) {
    if (point === 0x3400) point = 0xa000;
    if (point === 0xac00) point = 0xfb00;
    if (TURKISH.includes(point)) continue;
    const char = String.fromCodePoint(point);
    const upper = single(char.toUpperCase(), char);
    const folded = single(upper.toLowerCase(), upper);
    if (folded === char && upper === char) continue;
    const key = folded.codePointAt(0)!;
    const group = groups.get(key) ?? [];
    if (!group.includes(key)) group.push(key);
    if (!group.includes(point)) group.push(point);
    groups.set(key, group);
  }
  caseVariants = new Map();
  for (const pair of FOLDED_ONLY) groups.set(pair[0], [...pair]);
  for (const group of groups.values()) if (group.length > 1) for (const point of group) caseVariants.set(point, group);
  return caseVariants;
}

/** `changed` if it is one code point, otherwise `char`. */
const single = (changed: string, char: string): string =>
  changed.length === (changed.codePointAt(0)! > 0xffff ? 2 : 1) ? changed : char;

/** The ranges and all code points that differ from one of theirs only in case. */
export function withCaseVariants(ranges: readonly Range[]): Range[] {
  const variantsOf = variantsByPoint();
  const sorted = normalized(ranges);
  const all: Range[] = [...sorted];
  const addVariants = (variants: readonly number[] = []): void => {
    for (const variant of variants) all.push([variant, variant]);
  };
  let count = 0;
  for (const [first, last] of sorted) count += last - first + 1;
  if (count <= variantsOf.size) {
    for (const [first, last] of sorted)
      for (let point = first; point <= last; point++) addVariants(variantsOf.get(point));
  } else {
    for (const [point, variants] of variantsOf) {
      if (sorted.some(([first, last]) => first <= point && point <= last)) addVariants(variants);
    }
  }
  return normalized(all);
}
