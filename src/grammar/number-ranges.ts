import { literal, oneOf } from './code-points.ts';

/** Bounds of a number; a missing one is not there. */
export interface Bounds {
  least?: number | undefined;
  most?: number | undefined;
  /** The bound itself is not in the range. */
  aboveLeast?: boolean;
  belowMost?: boolean;
}

/** Digits of an integer without bounds, so that it is exact in a double. */
const MOST_DIGITS = 15;
/** Decimals beyond those of the bounds. */
const MOST_MORE = 6;

/** EBNF of the integers within `bounds`, which are whole; undefined when there are none. */
export function integers({ least = -Infinity, most = Infinity, aboveLeast, belowMost }: Bounds): string | undefined {
  const low = aboveLeast ? least + 1 : least;
  const high = belowMost ? most - 1 : most;
  if (low > high) return undefined;
  return either([low < 0 && negative(upTo(Math.max(1, -high), -low, 0)), high >= 0 && upTo(Math.max(0, low), high, 0)]);
}

/**
 * EBNF of the numbers within `bounds`; undefined when there are none, or the bounds have more digits than a double. They
 * have as many decimals as their bounds, and up to six more, as long as none is read as a bound that is not in the range:
 * less than what JSON Schema allows, and all of it valid.
 */
export function decimals({ least = -Infinity, most = Infinity, aboveLeast, belowMost }: Bounds): string | undefined {
  const places = Math.max(decimalPlaces(least), decimalPlaces(most)) + (aboveLeast || belowMost ? 2 : 0);
  if (places > 9) return undefined;
  const unit = 10 ** places;
  // In units: [low, high), whose numbers may have more decimals, and high itself.
  const low = Math.round(least * unit) + (aboveLeast ? 1 : 0);
  const high = Math.round(most * unit);
  if (low > high || (low === high && belowMost)) return undefined;
  if (places > 0 && [low, high].some((end) => Number.isFinite(end) && !Number.isSafeInteger(end))) return undefined;
  const left = belowMost ? Math.max(0, MOST_DIGITS - digitsOf(Math.abs(high), 0).length) : MOST_MORE;
  const more = places === 0 ? `("." [0-9]{1,${MOST_MORE}})?` : `[0-9]{0,${Math.min(left, MOST_MORE)}}`;
  const from = (first: number, last: number): string | false =>
    first <= last && `${group(upTo(first, last, places))} ${more}`;
  const exactly = (value: number): string => upTo(value, value, places);
  return either([
    // Below zero low itself is the end that no more decimals may go past; an open end is past it already.
    low < 0 &&
      negative(
        either([Number.isFinite(low) && exactly(-low), from(Math.max(0, -high) + (belowMost ? 1 : 0), -low - 1)]) ?? '',
      ),
    high > 0 && from(Math.max(0, low), high - 1),
    high >= 0 && !belowMost && Number.isFinite(high) && exactly(high),
  ]);
}

const negative = (magnitude: string): string => `"-" ${group(magnitude)}`;
const group = (ebnf: string): string => `(${ebnf})`;

function either(parts: readonly (string | false)[]): string | undefined {
  const kept = parts.filter((part) => part !== false);
  return kept.length === 0 ? undefined : oneOf(kept);
}

function decimalPlaces(value: number): number {
  if (!Number.isFinite(value)) return 0;
  const [mantissa = '', exponent = '0'] = String(Math.abs(value)).split('e');
  return Math.max(0, (mantissa.split('.')[1] ?? '').length - Number(exponent));
}

/** Whole numbers from `first` to `last` without a sign, a point before their last `places` digits. */
function upTo(first: number, last: number, places: number): string {
  const parts: string[] = [];
  const [low, high] = [digitsOf(first, places), digitsOf(last, places)];
  const longest = Number.isFinite(last) ? high.length : Math.max(MOST_DIGITS, low.length);
  for (let { length } = low; length <= longest; length++) {
    const least = length === low.length ? low : `1${'0'.repeat(length - 1)}`;
    const most = Number.isFinite(last) && length === high.length ? high : '9'.repeat(length);
    parts.push(sameLength(least, most, places));
  }
  return oneOf(parts);
}

/** Whole digits, of numbers too that are written with an exponent otherwise. */
const digitsOf = (value: number, places: number): string =>
  BigInt(Number.isFinite(value) ? value : 0)
    .toString()
    .padStart(places + 1, '0');

/** Digit strings between two of the same length. */
function sameLength(least: string, most: string, places: number): string {
  if (least === '') return '';
  const { length } = least;
  const point = length === places ? '"." ' : '';
  const [low = '', high = ''] = [least[0], most[0]];
  const [lowRest, highRest] = [least.slice(1), most.slice(1)];
  const [zeros, nines] = ['0'.repeat(length - 1), '9'.repeat(length - 1)];
  const rest = (a: string, b: string): string => (a === '' ? '' : ` ${group(sameLength(a, b, places))}`);
  if (low === high) return `${point}${literal(low)}${rest(lowRest, highRest)}`;
  const parts: string[] = [];
  const lowIsWhole = lowRest === zeros;
  const highIsWhole = highRest === nines;
  if (!lowIsWhole) parts.push(`${literal(low)}${rest(lowRest, nines)}`);
  const [from, to] = [Number(low) + (lowIsWhole ? 0 : 1), Number(high) - (highIsWhole ? 0 : 1)];
  if (from <= to) parts.push(`[${from}-${to}]${rest(zeros, nines)}`);
  if (!highIsWhole) parts.push(`${literal(high)}${rest(zeros, highRest)}`);
  return `${point}${oneOf(parts)}`;
}
