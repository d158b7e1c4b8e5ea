import type { ModelConfig } from '../config/model-config.ts';

/**
 * cos and sin of every position: `[positions, 2, headDim / 2]` (RoPE, arXiv 2104.09864), computed in f64.
 * `divisors`: of each frequency, for Llama 3's scaling (the tensor rope_freqs.weight, `[headDim / 2]`).
 */
export function ropeTable(config: ModelConfig, positions: number, divisors?: Float32Array): Float32Array<ArrayBuffer> {
  const { headDim, ropeTheta, ropeLinearScale = 1 } = config;
  const half = headDim / 2;
  const table = new Float32Array(positions * headDim);
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** (-i / half) / ropeLinearScale / (divisors?.[i] ?? 1);
    for (let position = 0; position < positions; position++) {
      table[position * headDim + i] = Math.cos(position * frequency);
      table[position * headDim + half + i] = Math.sin(position * frequency);
    }
  }
  return table;
}

/** The same for layers that are not rotated: 1 and 0 at every position. */
export function unrotatedTable({ headDim }: ModelConfig, positions: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: positions * headDim }, (_, i) => (i % headDim < headDim / 2 ? 1 : 0));
}

/** Bytes of the table, or of both. */
export const ropeTableBytes = ({ headDim, unrotatedLayers }: ModelConfig, positions: number): number =>
  positions * headDim * 4 * (unrotatedLayers.length > 0 ? 2 : 1);
