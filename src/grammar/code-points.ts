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

export const pointOf = (char: string): number => char.codePointAt(0) ?? 0;

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

const union = (ranges: readonly Range[]): Range[] => complement(complement(ranges));

export function intersection(a: readonly Range[], b: readonly Range[]): Range[] {
  return complement([...complement(a), ...complement(b)]);
}

/** Plain characters of ASCII, and those beyond it. */
export const PLAIN_ASCII = intersection(PLAIN, [[0, 0x7f]]);
export const PLAIN_BEYOND = intersection(PLAIN, [[0x80, ALL[1]]]);

/** What UTF-8 writes in one to four bytes: what is added to the highest bits in the first one, and the code points. */
const UTF8: readonly { lead: number; points: readonly Range[] }[] = [
  { lead: 0, points: [[0, 0x7f]] },
  { lead: 0xc0, points: [[0x80, 0x7ff]] },
  {
    lead: 0xe0,
    points: complement([
      [0, 0x7ff],
      [0xd800, 0xdfff],
      [0x10000, ALL[1]],
    ]),
  },
  { lead: 0xf0, points: [[0x10000, ALL[1]]] },
];

/** Bytes that characters of `ranges` begin with. */
export const firstBytesOf = (ranges: readonly Range[]): Range[] =>
  union(
    UTF8.flatMap(({ lead, points }, more) =>
      intersection(ranges, points).map(([first, last]): Range => [
        lead + highest(first, more),
        lead + highest(last, more),
      ]),
    ),
  );

/** Of a code point the value in the first of its bytes, of which `more` follow. */
const highest = (point: number, more: number): number => Math.floor(point / 64 ** more);

/** A character, and EBNF of what is to come behind it. */
export interface Followed {
  ranges: readonly Range[];
  behind: string;
}

/**
 * EBNF of one of these, whose ranges share no character: no byte begins two of its alternatives, at any place. Beyond
 * ASCII it is written in bytes: the library compares a class of listed characters with single bytes, and forgets what a
 * class leaves out.
 */
export const anyOf = (characters: readonly Followed[]): string =>
  UTF8.flatMap(({ lead, points }, more) => bytesOf(within(characters, points), more, lead)).join(' | ');

/** EBNF of one character of `ranges`. */
export const classOf = (ranges: readonly Range[]): string => `(${anyOf([{ ranges, behind: '' }])})`;

/** The same of characters of 1 + `more` bytes. */
function bytesOf(characters: readonly Followed[], more: number, lead: number): string[] {
  if (more === 0) return characters.map(({ ranges, behind }) => `${byteOf(ranges, lead)}${behind}`);
  const size = 64 ** more;
  const alike = new Map<string, { rest: readonly Followed[]; bytes: Range[] }>();
  const ends = characters.flatMap(({ ranges }) =>
    ranges.flatMap(([first, last]) => [highest(first, more), highest(last, more)]),
  );
  for (const bytes of rangesBetween(ends.flatMap((byte) => [byte, byte + 1]))) {
    const start = bytes[0] * size; // what comes behind the others of these bytes is the same
    const inside = within(characters, [[start, start + size - 1]]);
    const rest = inside.map(({ ranges, behind }) => ({
      ranges: ranges.map(([first, last]): Range => [first - start, last - start]),
      behind,
    }));
    const key = JSON.stringify(rest);
    if (rest.length > 0) alike.set(key, { rest, bytes: [...(alike.get(key)?.bytes ?? []), bytes] });
  }
  return Array.from(
    alike.values(),
    ({ rest, bytes }) => `${byteOf(union(bytes), lead)} (${bytesOf(rest, more - 1, 0x80).join(' | ')})`,
  );
}

/** From each of these numbers to below the next one. */
export function rangesBetween(starts: readonly number[]): Range[] {
  const sorted = [...new Set(starts)].sort((a, b) => a - b);
  return sorted.slice(1).map((next, i) => [sorted[i] ?? 0, next - 1]);
}

const within = (characters: readonly Followed[], points: readonly Range[]): Followed[] =>
  characters
    .map(({ ranges, behind }) => ({ ranges: intersection(ranges, points), behind }))
    .filter(({ ranges }) => ranges.length > 0);

/** EBNF of one byte of `ranges`, `lead` added. */
function byteOf(ranges: readonly Range[], lead: number): string {
  if (lead === 0) return `[${ranges.map(([first, last]) => `${escape(first)}-${escape(last)}`).join('')}]`;
  const hex = (value: number): string => `\\x${(lead + value).toString(16)}`;
  // A class of one byte alone would be read as that character: hence twice.
  return `[${ranges.map(([first, last]) => `${hex(first)}${first === last ? '' : '-'}${hex(last)}`).join('')}]`;
}

const escape = (point: number): string => `\\U${point.toString(16).padStart(8, '0')}`;

/** Text as it is in a grammar. */
export function literal(text: string): string {
  return `"${Array.from(text, (char) => (/[A-Za-z0-9 _.,:{}[\]-]/.test(char) ? char : escape(pointOf(char)))).join('')}"`;
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
