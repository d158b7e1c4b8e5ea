import { norm } from '../operations.ts';

/** x `[T, width]` → x / sqrt(mean(x²) + eps) · weight, token by token (arXiv 1910.07467). */
export function rmsNorm(x: Float32Array, weight: Float32Array, eps: number): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    y.set(norm([Float64Array.from(x.subarray(at, at + width))], weight, eps)[0] ?? [], at);
  }
  return y;
}
