import { halfToFloat } from '../weights/float-tensor.ts';

const LARGEST_HALF = 65_504;
const LEAST_NORMAL_HALF = 2 ** -14;

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);
const BITS_OF_HALF = 0x3f000000; // of 0.5, whose last place is that of the least binary16 number

/**
 * Rounds the factors of one component, `x` and `y`, into `xHalves` and `yHalves` (binary16 bits). A power of two moves
 * from one to the other first, so that their largest elements are alike: no other split is as far from both ends of
 * binary16. Returns the part of the component that rounding loses (its square, relative to the component's), or
 * undefined where the factors do not fit.
 */
export function roundComponent(
  x: Float64Array,
  y: Float64Array,
  xHalves: Uint16Array,
  yHalves: Uint16Array,
): number | undefined {
  const [largestX, largestY] = [largestOf(x), largestOf(y)];
  const factor = 2 ** Math.round(Math.log2(largestY / largestX) / 2);
  if (!(largestX * factor <= LARGEST_HALF && largestY / factor <= LARGEST_HALF)) return undefined;
  return roundAll(x, factor, xHalves) + roundAll(y, 1 / factor, yHalves);
}

/** NaN where one of them is. */
function largestOf(values: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}

/** Returns the squared error of `factor · values` in binary16, relative to their square. */
function roundAll(values: Float64Array, factor: number, halves: Uint16Array): number {
  let error = 0;
  let square = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]! * factor;
    const half = toHalf(value);
    halves[i] = half;
    error += (halfToFloat(half) - value) ** 2;
    square += value ** 2;
  }
  return square === 0 ? 1 : error / square;
}

/** The binary16 bits nearest to `value` as a float32, ties to even; the value must fit. */
export function toHalf(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size < LEAST_NORMAL_HALF) {
    float[0] = 0.5 + size;
    return sign | (word[0]! - BITS_OF_HALF);
  }
  float[0] = size;
  const odd = (word[0]! >>> 13) & 1;
  // Ten bits of fraction are left of 23, and the exponent's bias becomes 15 instead of 127.
  return sign | (((word[0]! + 0xfff + odd) >>> 13) - (112 << 10));
}
