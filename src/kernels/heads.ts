import type { ModelConfig } from '../config/model-config.ts';
import type { Constant } from '../gpu/kernel.ts';

export type Heads = Pick<
  ModelConfig,
  | 'numHeads'
  | 'numKvHeads'
  | 'headDim'
  | 'qkNorm'
  | 'valueNorm'
  | 'rmsNormEps'
  | 'attentionScale'
  | 'rotaryDim'
  | 'rotaryScale'
  | 'temperature'
  | 'gatesAttention'
>;

/** Tokens of a page of the KV cache. */
export const PAGE_TOKENS = 32;

/** Heads before the keys in a row of attention inputs: queries, then their gates if the model has gates. */
const firstKey = ({ numHeads, gatesAttention }: Pick<Heads, 'numHeads' | 'gatesAttention'>): number =>
  (gatesAttention ? 2 : 1) * numHeads;

/** Floats of a row of attention inputs: queries, gates, keys and values. */
export const rowWidth = (heads: Pick<Heads, 'numHeads' | 'numKvHeads' | 'headDim' | 'gatesAttention'>): number =>
  (firstKey(heads) + 2 * heads.numKvHeads) * heads.headDim;

/** Constants of every kernel that reads heads or pages. */
export const headConstants = ({ numHeads, numKvHeads, headDim, gatesAttention }: Heads): Record<string, Constant> => ({
  NUM_HEADS: numHeads,
  FIRST_KEY: firstKey({ numHeads, gatesAttention }),
  NUM_KV_HEADS: numKvHeads,
  HEAD_DIM4: headDim / 4,
  QUADS: headDim / 16,
  PAGE_TOKENS,
});

/** Components of a head that the value rotation transforms together; see the part `rotation`. */
export const rotatedTogether = (headDim: number): number => 4 * Math.min(16, (headDim / 4) & -(headDim / 4));

/** Bytes of an f16 page of one layer: keys, then values, each `[numKvHeads, PAGE_TOKENS, headDim]`. */
export const pageBytes = ({ numKvHeads, headDim }: Pick<Heads, 'numKvHeads' | 'headDim'>): number =>
  2 * numKvHeads * PAGE_TOKENS * headDim * 2;
