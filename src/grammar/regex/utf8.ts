import type { Range } from './byte-sets.ts';

/** First and last code points that UTF-8 encodes in one to four bytes, and the marker bits of the first byte. */
const LENGTHS: readonly { lead: number; first: number; last: number }[] = [
  { lead: 0, first: 0, last: 0x7f },
  { lead: 0xc0, first: 0x80, last: 0x7ff },
  { lead: 0xe0, first: 0x800, last: 0xffff },
  { lead: 0xf0, first: 0x10000, last: 0x10ffff },
];
const SURROGATES: Range = [0xd800, 0xdfff];
const LAST = 0x10ffff;

/** The same code points in ascending ranges that neither touch nor overlap. */
export function normalized(ranges: readonly Range[]): Range[] {
  const merged: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (last < first) continue;
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** The code points of 0 to 0x10FFFF that are in none of the ranges. */
export function complement(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = [];
  let next = 0;
  for (const [first, last] of normalized(ranges)) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST) gaps.push([next, LAST]);
  return gaps;
}

/** The code points that are in both; each list ascends. */
export function intersection(a: readonly Range[], b: readonly Range[]): Range[] {
  const common: Range[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const first = Math.max(a[i]![0], b[j]![0]);
    const last = Math.min(a[i]![1], b[j]![1]);
    if (first <= last) common.push([first, last]);
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return common;
}

/** The Unicode scalar values in the ranges: code points except surrogates. */
export const scalars = (ranges: readonly Range[]): Range[] =>
  intersection(normalized(ranges), complement([SURROGATES]));

/** One of `bytes`, then one of the branches of `rest`; an empty `rest` ends the character. */
export interface Utf8Branch {
  readonly bytes: readonly Range[];
  readonly rest: readonly Utf8Branch[];
}

/** The UTF-8 encodings of these code points; the branches of a list share no byte. */
export function utf8Branches(ranges: readonly Range[]): Utf8Branch[] {
  const points = scalars(ranges);
  return LENGTHS.flatMap(({ lead, first, last }, more) =>
    branchesOf(intersection(points, [[first, last]]), more, lead),
  );
}

/**
 * Branches of numbers below `64 ** (more + 1)`: a byte with the highest bits added to `base`, then `more` bytes of six
 * bits.
 */
function branchesOf(ranges: readonly Range[], more: number, base: number): Utf8Branch[] {
  if (ranges.length === 0) return [];
  if (more === 0) return [{ bytes: ranges.map(([first, last]): Range => [base + first, base + last]), rest: [] }];
  const unit = 64 ** more;
  const whole: Range[] = [];
  /** For each byte that only some continuations may follow, these continuations. */
  const partly = new Map<number, Range[]>();
  const addPart = (byte: number, first: number, last: number): void => {
    const part = partly.get(byte);
    if (part) part.push([first, last]);
    else partly.set(byte, [[first, last]]);
  };
  for (const [first, last] of ranges) {
    let from = Math.floor(first / unit);
    let to = Math.floor(last / unit);
    if (from === to && (first % unit !== 0 || last % unit !== unit - 1)) {
      addPart(from, first % unit, last % unit);
      continue;
    }
    if (first % unit !== 0) addPart(from++, first % unit, unit - 1);
    if (last % unit !== unit - 1) addPart(to--, 0, last % unit);
    if (from <= to) whole.push([base + from, base + to]);
  }
  const branches = [...partly].map(([byte, part]): Utf8Branch => ({
    bytes: [[base + byte, base + byte]],
    rest: branchesOf(part, more - 1, 0x80),
  }));
  if (whole.length > 0) branches.push({ bytes: whole, rest: branchesOf([[0, unit - 1]], more - 1, 0x80) });
  return branches;
}
