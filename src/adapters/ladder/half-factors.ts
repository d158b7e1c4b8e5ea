import { floatToHalf, halfToFloat } from '../../weights/float-tensor.ts';

const LARGEST_HALF = 65_504;

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
    const half = floatToHalf(value);
    halves[i] = half;
    error += (halfToFloat(half) - value) ** 2;
    square += value ** 2;
  }
  return square === 0 ? 1 : error / square;
}
