import type { ModelConfig } from '../config/model-config.ts';

/**
 * RoPE (arXiv 2104.09864) of one head `[headDim]` at `position`, in the file's own layout. `divisors`: of each
 * frequency, `[headDim / 2]` (rope_freqs.weight; ggml's freq_factors).
 */
export function rotate(
  { headDim, ropeTheta, ropeLinearScale = 1, ropeLayout }: ModelConfig,
  head: Float64Array,
  position: number,
  divisors?: Float32Array,
): Float64Array {
  const rotated = new Float64Array(headDim);
  for (let i = 0; i < headDim / 2; i++) {
    const [first, second] = ropeLayout === 'interleaved' ? [2 * i, 2 * i + 1] : [i, i + headDim / 2];
    const angle = (position / ropeLinearScale) * (ropeTheta ** ((-2 * i) / headDim) / (divisors?.[i] ?? 1));
    const a = head[first] ?? 0;
    const b = head[second] ?? 0;
    rotated[first] = a * Math.cos(angle) - b * Math.sin(angle);
    rotated[second] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return rotated;
}
