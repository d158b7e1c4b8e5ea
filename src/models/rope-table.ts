import type { ModelConfig, SlidingWindow, Yarn } from '../config/model-config.ts';

type Rotation = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeLinearScale' | 'yarn' | 'rotaryDim'>;

/**
 * cos and sin of every position: `[positions, 2, headDim / 2]` (RoPE, arXiv 2104.09864), computed in f64; what is not
 * rotated comes last. `divisors`: of each frequency, for the scaling of Llama 3 and LongRoPE, `[rotaryDim / 2]`.
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

/** What YaRN multiplies the i-th frequency by (ggml, ops.cpp, rope_yarn; transformers, modeling_rope_utils.py). */
function yarnSlowing(
  { factor, originalContext, betaFast, betaSlow, truncate, extFactor }: Yarn,
  theta: number,
  rotaryDim: number,
): (i: number) => number {
  /** Which frequency turns so many times within the context. */
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

/** The same for layers that are not rotated: 1 and 0 at every position. */
export function unrotatedTable({ headDim }: ModelConfig, positions: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: positions * headDim }, (_, i) => (i % headDim < headDim / 2 ? 1 : 0));
}

/** The same for layers with a window that are rotated in their own way: their positions are not scaled. Undefined where none are. */
export const windowTable = (
  config: ModelConfig,
  { ropeTheta, headDim = config.headDim }: SlidingWindow,
  positions: number,
): Float32Array<ArrayBuffer> | undefined =>
  ropeTheta === undefined ? undefined : ropeTable({ headDim, ropeTheta }, positions);

/** Bytes of one table, and how many there are. */
export const ropeTableBytes = ({ headDim }: ModelConfig, positions: number): number => positions * headDim * 4;
export const ropeTables = ({ unrotatedLayers, window }: ModelConfig): number =>
  1 + Number(unrotatedLayers.length > 0) + Number(window?.ropeTheta !== undefined);
