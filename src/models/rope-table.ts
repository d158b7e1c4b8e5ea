import type { ModelConfig, SlidingWindow } from '../config/model-config.ts';

/**
 * cos and sin of every position: `[positions, 2, headDim / 2]` (RoPE, arXiv 2104.09864), computed in f64.
 * `divisors`: of each frequency, for Llama 3's scaling (the tensor rope_freqs.weight, `[headDim / 2]`).
 */
export function ropeTable(config: Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeLinearScale'>, positions: number, divisors?: Float32Array): Float32Array<ArrayBuffer> {
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

/** The same for layers with a window that are rotated in their own way: their positions are not scaled. */
export const windowTable = ({ headDim }: ModelConfig, { ropeTheta }: SlidingWindow, positions: number): Float32Array<ArrayBuffer> =>
  ropeTable({ headDim, ropeTheta }, positions);

/** Bytes of one table, and how many there are. */
export const ropeTableBytes = ({ headDim }: ModelConfig, positions: number): number => positions * headDim * 4;
export const ropeTables = ({ unrotatedLayers, window }: ModelConfig): number => 1 + Number(unrotatedLayers.length > 0) + Number(window !== undefined);
