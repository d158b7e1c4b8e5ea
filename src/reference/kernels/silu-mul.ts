import { silu } from '../operations.ts';

/** x `[T, 2 · width]` (gate, then up) → silu(gate) · up `[T, width]`. */
export function siluMul(x: ArrayLike<number>, width: number): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    return silu(x[at] ?? 0) * (x[at + width] ?? 0);
  });
}
