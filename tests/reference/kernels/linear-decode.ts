import { dot } from '../operations.ts';
import { rmsNorm } from './rms-norm.ts';
import { gatedActivation } from './gated-activation.ts';

export interface LinearOptions {
  /** RMS-norms x first. */
  norm?: { weight: Float32Array; eps: number };
  /** Multiplies the product; default 1. */
  scale?: number;
  /** Added to the scaled product before anything else, `[rows]`. */
  bias?: Float32Array;
  /** Rows are gate, then up: the output is silu(gate) · up. */
  gated?: boolean;
  /** Added to the output, `[outputs]`. */
  residual?: Float32Array;
}

/** weights `[rows, columns]` · x `[columns]` → `[rows]`, or `[rows / 2]` when gated. */
export function linearDecode(weights: Float32Array, x: Float32Array, options: LinearOptions = {}): Float64Array {
  const { norm, scale = 1, bias, gated, residual } = options;
  const input = norm ? rmsNorm(x, norm.weight, norm.eps) : x;
  const rows = weights.length / x.length;
  const y = Float64Array.from({ length: rows }, (_, row) => {
    return dot(weights.subarray(row * x.length, (row + 1) * x.length), input) * scale + (bias?.[row] ?? 0);
  });
  const outputs = gated ? gatedActivation(y, rows / 2) : y;
  return outputs.map((value, row) => value + (residual?.[row] ?? 0));
}
