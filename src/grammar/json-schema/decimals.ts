/** A decimal number: `digits` times ten to the power of `-places`; `places` is 0 or more. */
export interface Decimal {
  readonly digits: bigint;
  readonly places: number;
}

/** The exact value of a finite double's shortest decimal text. */
export function decimalOf(value: number): Decimal {
  const [mantissa = '0', exponent = '0'] = String(value).split('e');
  const [whole = '0', fraction = ''] = mantissa.split('.');
  const places = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  const written = places >= 0 ? { digits, places } : { digits: digits * 10n ** BigInt(-places), places: 0 };
  return whole.startsWith('-') && digits > 0n ? { ...written, digits: -written.digits } : written;
}

/** Digits of the number at `wanted` decimal places; it must not need more. */
export const withPlaces = ({ digits, places }: Decimal, wanted: number): bigint =>
  digits * 10n ** BigInt(wanted - places);

export function isMultiple(value: number, of: number): boolean {
  const [a, b] = [decimalOf(value), decimalOf(of)];
  const places = Math.max(a.places, b.places);
  return withPlaces(a, places) % withPlaces(b, places) === 0n;
}

/** The least common multiple of positive numbers; undefined if there are none. */
export function commonMultiple(values: readonly number[]): Decimal | undefined {
  const decimals = values.map(decimalOf);
  const places = Math.max(0, ...decimals.map((decimal) => decimal.places));
  let digits: bigint | undefined;
  for (const decimal of decimals) {
    const next = withPlaces(decimal, places);
    digits = digits === undefined ? next : (digits / greatestDivisor(digits, next)) * next;
  }
  return digits === undefined ? undefined : { digits, places };
}

function greatestDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

/** Digits of a non-negative number before and after the point; the fraction without trailing zeros. */
export function digitsOf({ digits, places }: Decimal): { whole: string; fraction: string } {
  const all = String(digits).padStart(places + 1, '0');
  return {
    whole: all.slice(0, all.length - places),
    fraction: all.slice(all.length - places).replace(/0+$/, ''),
  };
}

/** JSON text of the number, without an exponent. */
export function plainText(value: number): string {
  const decimal = decimalOf(value);
  const { whole, fraction } = digitsOf({ ...decimal, digits: decimal.digits < 0n ? -decimal.digits : decimal.digits });
  return `${decimal.digits < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** The quotient, rounded down. */
export const floorDivided = (a: bigint, b: bigint): bigint => (a >= 0n ? a / b : -((-a + b - 1n) / b));
