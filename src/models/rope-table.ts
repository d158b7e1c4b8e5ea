import type { ModelConfig, SlidingWindow, Yarn } from '../config/model-config.ts';

type Rotation = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeLinearScale' | 'yarn' | 'rotaryDim'>;

/**
 * RoPE (arXiv 2104.09864): cos and sin of every position `[positions, 2, headDim / 2]`, computed in f64; unrotated pairs
 * come last. `divisors [rotaryDim / 2]` divide the frequencies (Llama 3's scaling and LongRoPE).
 */
export function ropeTable(config: Rotation, positions: number, divisors?: Float32Array): Float32Array<ArrayBuffer> {
  const { headDim, ropeTheta, ropeLinearScale = 1, yarn, rotaryDim = headDim } = config;
  const half = headDim / 2;
  const table = new Float32Array(positions * headDim);
  const slowed = yarn && yarnSlowing(yarn, ropeTheta, rotaryDim);
  for (let i = 0; i < half; i++) {
    const isRotated = i < rotaryDim / 2;
    const frequency = isRotated
      ? (ropeTheta ** ((-2 * i) / rotaryDim) * (slowed?.(i) ?? 1)) / ropeLinearScale / (divisors?.[i] ?? 1)
      : 0;
    for (let position = 0; position < positions; position++) {
      table[position * headDim + i] = Math.cos(position * frequency);
      table[position * headDim + half + i] = Math.sin(position * frequency);
    }
  }
  return table;
}

/** YaRN's factor of the i-th frequency (ggml, ops.cpp, rope_yarn; transformers, modeling_rope_utils.py). */
function yarnSlowing(
  { factor, originalContext, betaFast, betaSlow, truncate, extFactor }: Yarn,
  theta: number,
  rotaryDim: number,
): (i: number) => number {
  /** Index of the frequency that makes `turns` turns within the original context. */
  const indexOf = (turns: number): number =>
    (rotaryDim * Math.log(originalContext / (2 * Math.PI * turns))) / (2 * Math.log(theta));
  const [first, last] = [indexOf(betaFast), indexOf(betaSlow)];
  const low = Math.max(0, truncate ? Math.floor(first) : first);
  const high = Math.min(rotaryDim - 1, truncate ? Math.ceil(last) : last);
  return (i) => {
    const left = extFactor * (1 - Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low))));
    return left + (1 - left) / factor;
  };
}

/** RoPE table of layers without rotation: cos 1 and sin 0. */
export function unrotatedTable({ headDim }: ModelConfig, positions: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: positions * headDim }, (_, i) => (i % headDim < headDim / 2 ? 1 : 0));
}

/** RoPE table of sliding-window layers with their own theta, without scaling; undefined if they have none. */
export const windowTable = (
  config: ModelConfig,
  { ropeTheta, headDim = config.headDim }: SlidingWindow,
  positions: number,
): Float32Array<ArrayBuffer> | undefined =>
  ropeTheta === undefined ? undefined : ropeTable({ headDim, ropeTheta }, positions);

/** Bytes of one table. */
export const ropeTableBytes = ({ headDim }: ModelConfig, positions: number): number => positions * headDim * 4;
export const ropeTables = ({ unrotatedLayers, window }: ModelConfig): number =>
  1 + Number(unrotatedLayers.length > 0) + Number(window?.ropeTheta !== undefined);
