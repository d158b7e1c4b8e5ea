import type { Architecture } from '../architecture.ts';
import { INPUT_NORMS, OUTPUT_NORMS, QK_NORMS } from '../norms.ts';

/** What its layers are, whichever way they look. */
export const GEMMA3_LAYERS: Omit<Architecture, 'name' | 'modelTypes'> = {
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'gelu',
  norms: [...INPUT_NORMS, ...QK_NORMS, ...OUTPUT_NORMS],
  normPaths: { ffn_norm: 'pre_feedforward_layernorm' },
  normOffset: 1,
  window: { allBut: 6, ropeTheta: 10_000 },
  scalesEmbeddings: true,
  multipliers: { attentionScale: { gguf: 'attention.scale', config: 'query_pre_attn_scalar', power: -0.5 } },
};

/**
 * Gemma 3 (arXiv 2503.19786; llama.cpp, src/models/gemma3.cpp), its text alone: five layers of six attend within a window,
 * and what a half of a layer adds is normed.
 */
export const gemma3: Architecture = {
  ...GEMMA3_LAYERS,
  name: 'gemma3',
  modelTypes: {
    gemma3_text: {
      defaults: {
        // Configs of models with images have no more of the text than differs from these.
        ...{
          vocab_size: 262_208,
          num_attention_heads: 8,
          num_key_value_heads: 4,
          head_dim: 256,
          query_pre_attn_scalar: 256,
        },
        ...{ max_position_embeddings: 131_072 },
        ...{
          hidden_activation: 'gelu_pytorch_tanh',
          sliding_window: 4096,
          rope_theta: 1_000_000,
          tie_word_embeddings: true,
        },
      },
      window: 'by layer',
      bidirectional: 'gemma-embedding',
    },
    gemma3: { defaults: {}, textConfig: 'text_config' },
  },
  scoresByHidden: 62,
};
