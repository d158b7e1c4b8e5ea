import type { ModelConfig, Yarn } from '../../src/config/model-config.ts';

/**
 * RoPE (arXiv 2104.09864) of one head `[headDim]` at `position`, in the file's own layout. `divisors`: one per
 * frequency, `[rotaryDim / 2]` (ggml's freq_factors).
 */
export function rotate(
  config: ModelConfig,
  head: Float64Array,
  position: number,
  divisors?: Float32Array,
): Float64Array {
  const { headDim, ropeTheta, ropeLinearScale = 1, yarn, ropeLayout, rotaryDim = headDim, rotaryScale = 1 } = config;
  const rotated = head.slice();
  for (let i = 0; i < rotaryDim / 2; i++) {
    const [first, second] = ropeLayout === 'interleaved' ? [2 * i, 2 * i + 1] : [i, i + rotaryDim / 2];
    const given = (position / ropeLinearScale) * (ropeTheta ** ((-2 * i) / rotaryDim) / (divisors?.[i] ?? 1));
    const angle = yarn ? stretched(yarn, given, i, { rotaryDim, ropeTheta }) : given;
    const a = rotaryScale * (head[first] ?? 0);
    const b = rotaryScale * (head[second] ?? 0);
    rotated[first] = a * Math.cos(angle) - b * Math.sin(angle);
    rotated[second] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return rotated;
}

/** The i-th angle, between `angle` and `angle / factor` (YaRN, arXiv 2309.00071, equation 20, with γ by indices as in all implementations). */
function stretched(
  { factor, originalContext, betaFast, betaSlow, truncate, extFactor }: Yarn,
  angle: number,
  i: number,
  { rotaryDim, ropeTheta }: { rotaryDim: number; ropeTheta: number },
): number {
  const index = (turns: number): number =>
    ((rotaryDim / 2) * Math.log(originalContext / (2 * Math.PI * turns))) / Math.log(ropeTheta);
  const from = Math.max(truncate ? Math.floor(index(betaFast)) : index(betaFast), 0);
  const to = Math.min(truncate ? Math.ceil(index(betaSlow)) : index(betaSlow), rotaryDim - 1);
  const slowed = i <= from ? 0 : i >= to ? 1 : (i - from) / (to - from);
  return (1 - slowed) * extFactor * angle + (1 - (1 - slowed) * extFactor) * (angle / factor);
}
