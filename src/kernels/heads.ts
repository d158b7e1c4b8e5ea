import type { ModelConfig } from '../config/model-config.ts';
import type { Constant } from '../gpu/kernel.ts';

export type Heads = Pick<ModelConfig, 'numHeads' | 'numKvHeads' | 'headDim' | 'qkNorm' | 'rmsNormEps' | 'attentionScale' | 'rotaryDim' | 'rotaryScale' | 'temperature'>;

/** Tokens of a page of the KV cache. */
export const PAGE_TOKENS = 32;

/** Constants shared by the kernels that know heads and pages. */
export const headConstants = ({ numHeads, numKvHeads, headDim }: Heads): Record<string, Constant> => ({
  NUM_HEADS: numHeads,
  NUM_KV_HEADS: numKvHeads,
  HEAD_DIM4: headDim / 4,
  QUADS: headDim / 16,
  PAGE_TOKENS,
});

/** Bytes of one page of one layer: keys, then values, each `[numKvHeads, PAGE_TOKENS, headDim]` in f16. */
export const pageBytes = ({ numKvHeads, headDim }: Pick<Heads, 'numKvHeads' | 'headDim'>): number =>
  2 * numKvHeads * PAGE_TOKENS * headDim * 2;
