import { linearDecode } from './linear-decode.ts';

/** weights `[rows, columns]` · x `[T, columns]` (+ bias `[rows]`) (+ residual `[T, rows]`) → `[T, rows]`. */
export function linearPrefill(
  weights: Float32Array,
  columns: number,
  x: Float32Array,
  { scale, bias, residual }: { scale?: number; bias?: Float32Array; residual?: Float32Array } = {},
): Float64Array {
  const rows = weights.length / columns;
  const y = new Float64Array((x.length / columns) * rows);
  for (let token = 0; token < x.length / columns; token++) {
    const options = { scale, bias, residual: residual?.subarray(token * rows, (token + 1) * rows) };
    y.set(linearDecode(weights, x.subarray(token * columns, (token + 1) * columns), options), token * rows);
  }
  return y;
}
