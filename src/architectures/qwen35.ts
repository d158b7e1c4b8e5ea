import type { Architecture } from './architecture.ts';
import { QK_NORMS } from './norms.ts';

/**
 * Qwen3.5, its text alone (transformers, modeling_qwen3_5.py; llama.cpp, src/models/qwen35.cpp): three layers of four have a
 * gated delta net in place of attention, whose outputs are gated too in the others.
 */
export const qwen35: Architecture = {
  name: 'qwen35',
  modelTypes: {
    qwen3_5_text: {
      defaults: {
        max_position_embeddings: 32_768,
        head_dim: 256,
        partial_rotary_factor: 0.25,
        full_attention_interval: 4,
        linear_conv_kernel_dim: 4,
      },
    },
    qwen3_5: { defaults: {}, textConfig: 'text_config' },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: ['attn_norm', 'post_attention_norm', ...QK_NORMS],
  normOffset: 1,
  rotatesPart: true,
  hasDeltaNets: true,
  gatesAttention: true,
  draftParts: 'mtp.',
};
