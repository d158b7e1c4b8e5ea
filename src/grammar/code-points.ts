/** First and last code point. */
export type Range = readonly [number, number];

/** What stands in a JSON string as it is: no quote, backslash or control character, and no half of a surrogate pair. */
export const PLAIN: readonly Range[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x7e],
  [0x80, 0xd7ff],
  [0xe000, 0x10ffff],
];

const ALL: Range = [0, 0x10ffff];

/** What is in none of `ranges`. */
export function complement(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = [];
  let next = ALL[0];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= ALL[1]) gaps.push([next, ALL[1]]);
  return gaps;
}

export function intersection(a: readonly Range[], b: readonly Range[]): Range[] {
  return complement([...complement(a), ...complement(b)]);
}

/**
 * EBNF of one character of `ranges`. Beyond ASCII it is written in bytes: the library compares a class of listed
 * characters with single bytes, and forgets what a class leaves out.
 */
export function classOf(ranges: readonly Range[]): string {
  const ascii = intersection(ranges, [[0, 0x7f]]).map(([first, last]) => `${escape(first)}-${escape(last)}`);
  const beyond = UTF8_LENGTHS.flatMap((sameLength) => intersection(ranges, [sameLength]));
  const sequences = beyond.map(([first, last]) => bytesBetween(utf8(first), utf8(last)));
  return `(${[...(ascii.length > 0 ? [`[${ascii.join('')}]`] : []), ...sequences].join(' | ')})`;
}

/** Code points that take two, three and four bytes; surrogates take none. */
const UTF8_LENGTHS: readonly Range[] = [
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
];

const encoder = new TextEncoder();
const utf8 = (point: number): number[] => [...encoder.encode(String.fromCodePoint(point))];

/** EBNF of the characters between two of equally many bytes. */
function bytesBetween([low = 0, ...lowRest]: number[], [high = 0, ...highRest]: number[]): string {
  if (lowRest.length === 0) return byteClass(low, high);
  if (low === high) return `${byteClass(low, low)} (${bytesBetween(lowRest, highRest)})`;
  const [least, most] = [lowRest.map(() => 0x80), lowRest.map(() => 0xbf)];
  const lowIsWhole = lowRest.every((byte) => byte === 0x80);
  const highIsWhole = highRest.every((byte) => byte === 0xbf);
  const parts: string[] = [];
  if (!lowIsWhole) parts.push(bytesBetween([low, ...lowRest], [low, ...most]));
  const [from, to] = [low + (lowIsWhole ? 0 : 1), high - (highIsWhole ? 0 : 1)];
  if (from <= to) parts.push(`${byteClass(from, to)} (${bytesBetween(least, most)})`);
  if (!highIsWhole) parts.push(bytesBetween([high, ...least], [high, ...highRest]));
  return parts.join(' | ');
}

/** A class of one character alone would be read as that character, not as a byte: hence twice. */
const byteClass = (low: number, high: number): string =>
  low === high ? `[\\x${low.toString(16)}\\x${low.toString(16)}]` : `[\\x${low.toString(16)}-\\x${high.toString(16)}]`;

const escape = (point: number): string => `\\U${point.toString(16).padStart(8, '0')}`;

/** Text as it is in a grammar. */
export function literal(text: string): string {
  return `"${Array.from(text, (char) => (/[A-Za-z0-9 _.,:{}[\]-]/.test(char) ? char : escape(char.codePointAt(0) ?? 0))).join('')}"`;
}

/** The rule that `AS_WRITTEN` repeats. */
export const NOTHING = 'nothing ::= ""';
/**
 * Begins a group. The library (0.1.27) makes an automaton of each group, and where it minimizes it it merges states that
 * differ: `("b" | "a" | "aabb" | "aba")` would take `babb` too. Of a group with so many repetitions it makes none.
 */
const AS_WRITTEN = 'nothing{300}';

/** EBNF of any of several. */
export const oneOf = (alternatives: readonly string[]): string =>
  alternatives.length === 1 ? (alternatives[0] ?? '') : `(${AS_WRITTEN} ${alternatives.join(' | ')})`;
