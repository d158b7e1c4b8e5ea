import { UnsupportedError } from './errors.ts';

/** A Python int; throws if a double cannot hold it exactly. */
export function int(value: number): number {
  if (!Number.isSafeInteger(value)) throw new UnsupportedError('an integer of more than 53 bits');
  return value === 0 ? 0 : value; // never -0
}

/** Python's `repr` of a float: shortest digits, with an exponent below 1e-4 and from 1e16. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', power = ''] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  return `${sign}${digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')}.${digits.slice(exponent + 1) || '0'}`;
}

/** Fixed decimals as in `'%.2f'`: ties go to the even digit, where `toFixed` rounds up. */
export function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return floatText(value);
  if (decimals > 60 || decimals < 0) throw new UnsupportedError('more than 60 decimals');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const size = Math.abs(value);
  if (size >= 1e21) return `${sign}${BigInt(size)}${decimals > 0 ? `.${'0'.repeat(decimals)}` : ''}`;
  const rounded = size.toFixed(decimals);
  const exact = size.toFixed(decimals + 40);
  const cut = exact.length - 40;
  const isHalfway = /^50*$/.test(exact.slice(cut));
  const below = exact.slice(0, decimals === 0 ? cut - 1 : cut);
  return sign + (isHalfway && Number(below.at(-1)) % 2 === 0 ? below : rounded);
}

/** Python's `%` of floats, with the divisor's sign. */
export function floatModulo(left: number, right: number): number {
  const rest = left % right;
  if (rest === 0) return right < 0 ? -0 : 0;
  return rest < 0 !== right < 0 ? rest + right : rest;
}

/** Python's `//` of floats, by the steps of `float_floor_div`. */
export function floatFloor(left: number, right: number): number {
  const rest = left % right;
  let quotient = (left - rest) / right;
  if (rest !== 0 && rest < 0 !== right < 0) quotient -= 1;
  if (quotient === 0) return left / right < 0 || Object.is(left / right, -0) ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

export function intModulo(left: number, right: number): number {
  const rest = left % right;
  return int(rest !== 0 && rest < 0 !== right < 0 ? rest + right : rest);
}

export const intFloor = (left: number, right: number): number => int((left - intModulo(left, right)) / right);

/** Python's `int(text)`; undefined for a ValueError. */
export function parseInteger(text: string): number | undefined {
  refuseOtherDigits(text);
  return /^[+-]?\d+(?:_\d+)*$/.test(text) ? int(Number(text.replaceAll('_', ''))) : undefined;
}

/** Python's `float(text)`; undefined for a ValueError. */
export function parseFloating(text: string): number | undefined {
  refuseOtherDigits(text);
  const named = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i.exec(text);
  if (named) return named[2] === undefined ? NaN : named[1] === '-' ? -Infinity : Infinity;
  const digits = '\\d+(?:_\\d+)*';
  if (!new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`, 'i').test(text))
    return undefined;
  return Number(text.replaceAll('_', ''));
}

/** Python reads the digits of every script. */
function refuseOtherDigits(text: string): void {
  if (/[^\p{ASCII}]/u.test(text) && /[\p{Nd}]/u.test(text.replace(/\d/g, '')))
    throw new UnsupportedError('a number in digits other than 0 to 9');
}
