import type { ModelConfig } from '../config/model-config.ts';

interface LayerNorm {
  /** What transformers calls it within a layer, but for architectures with names of their own. */
  path: string;
  /** What it norms at once. */
  width: 'hiddenSize' | 'headDim';
  /** Of q and k: their heads. */
  heads?: 'numHeads' | 'numKvHeads';
}

/** The norms of a layer by llama.cpp's names (src/llama-arch.cpp). */
export const NORMS = {
  attn_norm: { path: 'input_layernorm', width: 'hiddenSize' },
  attn_q_norm: { path: 'self_attn.q_norm', width: 'headDim', heads: 'numHeads' },
  attn_k_norm: { path: 'self_attn.k_norm', width: 'headDim', heads: 'numKvHeads' },
  ffn_norm: { path: 'post_attention_layernorm', width: 'hiddenSize' },
  post_attention_norm: { path: 'post_attention_layernorm', width: 'hiddenSize' },
  post_ffw_norm: { path: 'post_feedforward_layernorm', width: 'hiddenSize' },
} as const satisfies Record<string, LayerNorm>;

export type NormName = keyof typeof NORMS;

/** Of each half of a layer's input. */
export const INPUT_NORMS: readonly NormName[] = ['attn_norm', 'ffn_norm'];
/** Of what each half of a layer adds to the residual stream. */
export const OUTPUT_NORMS: readonly NormName[] = ['post_attention_norm', 'post_ffw_norm'];
/** Of q and k, head by head, or whole. */
export const QK_NORMS: readonly NormName[] = ['attn_q_norm', 'attn_k_norm'];

/** The shape of a norm's weights. */
export function normShape(
  model: Pick<ModelConfig, 'hiddenSize' | 'headDim' | 'numHeads' | 'numKvHeads' | 'normsQkWhole'>,
  name: NormName,
): [number] {
  const { width, heads }: LayerNorm = NORMS[name];
  return [(heads && model.normsQkWhole ? model[heads] : 1) * model[width]];
}
