import { type Architecture, INPUT_NORMS, QK_NORMS } from './architecture.ts';

/** Qwen2 and Qwen2.5 (arXiv 2407.10671): biases of q, k and v. */
export const qwen2: Architecture = {
  name: 'qwen2',
  modelTypes: {
    qwen2: {
      defaults: {
        max_position_embeddings: 32_768,
        num_key_value_heads: 32,
        sliding_window: 4096,
        max_window_layers: 28,
      },
      window: 'where used',
    },
  },
  ropeLayout: 'half',
  qkvBias: 'always',
  activation: 'silu',
  norms: INPUT_NORMS,
};

/** Qwen3 (arXiv 2505.09388): norms of q and k. */
export const qwen3: Architecture = {
  name: 'qwen3',
  modelTypes: {
    qwen3: {
      defaults: {
        ...{ max_position_embeddings: 32_768, num_key_value_heads: 32, head_dim: 128 },
        ...{ sliding_window: 4096, max_window_layers: 28 },
      },
      window: 'where used',
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: [...INPUT_NORMS, ...QK_NORMS],
};

/** Qwen3's mixtures of experts (arXiv 2505.09388): Qwen3's attention, and experts in every layer. */
export const qwen3moe: Architecture = {
  name: 'qwen3moe',
  modelTypes: {
    qwen3_moe: {
      defaults: {
        ...{ max_position_embeddings: 32_768, num_key_value_heads: 4, sliding_window: 4096 },
        ...{ num_experts_per_tok: 8, norm_topk_prob: false, decoder_sparse_step: 1 },
      },
      window: 'where used',
      keys: { num_experts: 'num_local_experts' },
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: [...INPUT_NORMS, ...QK_NORMS],
  experts: {
    shares: 'softmax',
    normalizes: true,
    paths: {
      router: 'mlp.gate',
      experts: 'mlp.experts',
      ffn_gate_exps: 'gate_proj',
      ffn_up_exps: 'up_proj',
      ffn_down_exps: 'down_proj',
    },
  },
};

/**
 * Qwen3.5, text only (transformers, modeling_qwen3_5.py; llama.cpp, src/models/qwen35.cpp): three of four layers have a gated
 * delta net instead of attention; the other layers have gated attention.
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
