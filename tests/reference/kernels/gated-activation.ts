import type { Activation } from '../../../src/config/activations.ts';
import { ACTIVATIONS } from '../operations.ts';

/** x `[T, 2 · width]` (gate, then up) → activation(gate) · up `[T, width]`. */
export function gatedActivation(x: ArrayLike<number>, width: number, activation: Activation = 'silu'): Float64Array {
  const activate = ACTIVATIONS[activation];
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    return activate(x[at] ?? 0) * (x[at + width] ?? 0);
  });
}
