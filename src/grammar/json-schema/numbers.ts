import { type Fuel, GrammarError } from '../limits.ts';
import { commonMultiple, decimalOf, floorDivided, isMultiple, withPlaces } from './decimals.ts';

/** Numbers that meet all of these conditions. */
export interface NumberRange {
  readonly least: number;
  readonly most: number;
  /** Excludes the bound itself. */
  readonly aboveLeast: boolean;
  readonly belowMost: boolean;
  /** Written as an integer: without point and exponent. */
  readonly integer: boolean;
  /** Positive; a number must be a multiple of each. */
  readonly multiples: readonly number[];
  /** Positive; a number must be a multiple of none. */
  readonly notMultiples: readonly number[];
  readonly except: ReadonlySet<number>;
}

/** The union of listed numbers and of ranges. */
export interface NumberSet {
  readonly values: ReadonlySet<number>;
  readonly ranges: readonly NumberRange[];
}

const NONE: ReadonlySet<number> = new Set();
/** Most ranges of a set: anyOf, oneOf and not multiply them. */
const MOST_RANGES = 200;

export const ANY_NUMBER: NumberRange = {
  least: -Infinity,
  most: Infinity,
  aboveLeast: false,
  belowMost: false,
  integer: false,
  multiples: [],
  notMultiples: [],
  except: NONE,
};
export const ALL_NUMBERS: NumberSet = { values: NONE, ranges: [ANY_NUMBER] };
export const NO_NUMBERS: NumberSet = { values: NONE, ranges: [] };

export const numberValues = (values: Iterable<number>): NumberSet => ({ values: new Set(values), ranges: [] });

/** The numbers of a range in their simplest form: none, a single value, or the range. */
export function rangeSet(range: NumberRange): NumberSet {
  if (isEmptyRange(range)) return NO_NUMBERS;
  if (range.least === range.most) return isInRange(range.least, range) ? numberValues([range.least]) : NO_NUMBERS;
  return { values: NONE, ranges: [range] };
}

export const hasNoNumber = ({ values, ranges }: NumberSet): boolean => values.size === 0 && ranges.length === 0;

export function isInRange(value: number, range: NumberRange): boolean {
  return (
    (range.aboveLeast ? value > range.least : value >= range.least) &&
    (range.belowMost ? value < range.most : value <= range.most) &&
    (!range.integer || Number.isInteger(value)) &&
    range.multiples.every((of) => isMultiple(value, of)) &&
    !range.notMultiples.some((of) => isMultiple(value, of)) &&
    !range.except.has(value)
  );
}

export const isNumberIn = (value: number, { values, ranges }: NumberSet): boolean =>
  values.has(value) || ranges.some((range) => isInRange(value, range));

export function uniteNumbers(a: NumberSet, b: NumberSet): NumberSet {
  if (hasNoNumber(a) || b === ALL_NUMBERS) return b;
  if (hasNoNumber(b) || a === ALL_NUMBERS) return a;
  return { values: new Set([...a.values, ...b.values]), ranges: [...new Set([...a.ranges, ...b.ranges])] };
}

export function intersectNumbers(a: NumberSet, b: NumberSet, fuel: Fuel): NumberSet {
  if (a === ALL_NUMBERS) return b;
  if (b === ALL_NUMBERS) return a;
  const work = a.ranges.length * b.ranges.length;
  if (work > MOST_RANGES ** 2) throw new GrammarError(`comes to more than ${MOST_RANGES} ranges of numbers`);
  fuel.use(4 + 4 * work + a.values.size * (1 + b.ranges.length) + b.values.size * (1 + a.ranges.length));
  const values = new Set([
    ...[...a.values].filter((value) => isNumberIn(value, b)),
    ...[...b.values].filter((value) => isNumberIn(value, a)),
  ]);
  const ranges = new Set<NumberRange>();
  for (const left of a.ranges) {
    for (const right of b.ranges) {
      const both = rangeSet(intersectRanges(left, right));
      for (const value of both.values) values.add(value);
      for (const range of both.ranges) ranges.add(range);
    }
    if (ranges.size > MOST_RANGES) throw new GrammarError(`comes to more than ${MOST_RANGES} ranges of numbers`);
  }
  return { values, ranges: [...ranges] };
}

function intersectRanges(a: NumberRange, b: NumberRange): NumberRange {
  if (a === ANY_NUMBER) return b;
  if (b === ANY_NUMBER) return a;
  const lower = a.least > b.least || (a.least === b.least && a.aboveLeast) ? a : b;
  const upper = a.most < b.most || (a.most === b.most && a.belowMost) ? a : b;
  return {
    least: lower.least,
    aboveLeast: lower.aboveLeast,
    most: upper.most,
    belowMost: upper.belowMost,
    integer: a.integer || b.integer,
    multiples: unionOf(a.multiples, b.multiples),
    notMultiples: unionOf(a.notMultiples, b.notMultiples),
    except: a.except.size === 0 ? b.except : b.except.size === 0 ? a.except : new Set([...a.except, ...b.except]),
  };
}

const unionOf = (a: readonly number[], b: readonly number[]): readonly number[] =>
  a.length === 0 ? b : b.length === 0 ? a : [...new Set([...a, ...b])];

/** The numbers that are not in the set. */
export function complementNumbers({ values, ranges }: NumberSet, fuel: Fuel): NumberSet {
  let rest: NumberSet = values.size === 0 ? ALL_NUMBERS : rangeSet({ ...ANY_NUMBER, except: values });
  for (const range of ranges) rest = intersectNumbers(rest, complementRange(range), fuel);
  return rest;
}

function complementRange(range: NumberRange): NumberSet {
  const parts: NumberRange[] = [];
  if (range.least > -Infinity) parts.push({ ...ANY_NUMBER, most: range.least, belowMost: !range.aboveLeast });
  if (range.most < Infinity) parts.push({ ...ANY_NUMBER, least: range.most, aboveLeast: !range.belowMost });
  if (range.integer) parts.push({ ...ANY_NUMBER, notMultiples: [1] });
  for (const of of range.multiples) parts.push({ ...ANY_NUMBER, notMultiples: [of] });
  for (const of of range.notMultiples) parts.push({ ...ANY_NUMBER, multiples: [of] });
  return { values: range.except, ranges: parts };
}

/** Whether the range certainly has no numbers. */
function isEmptyRange(range: NumberRange): boolean {
  const { least, most, aboveLeast, belowMost, integer } = range;
  if (least > most || (least === most && (aboveLeast || belowMost))) return true;
  const common = commonMultiple(integer ? [...range.multiples, 1] : range.multiples);
  if (!common) return false;
  for (const of of range.notMultiples) {
    const other = decimalOf(of);
    const places = Math.max(common.places, other.places);
    if (withPlaces(common, places) % withPlaces(other, places) === 0n) return true;
  }
  if (least === -Infinity || most === Infinity) return false;
  const [low, high] = [decimalOf(least), decimalOf(most)];
  const places = Math.max(low.places, high.places, common.places);
  const step = withPlaces(common, places);
  const first = -floorDivided(-withPlaces(low, places) - (aboveLeast ? 1n : 0n), step);
  const last = floorDivided(withPlaces(high, places) - (belowMost ? 1n : 0n), step);
  return first > last;
}
