import { type Architecture, INPUT_NORMS, QK_NORMS } from './architecture.ts';

/**
 * LFM2 and LFM2.5 (Liquid AI, arXiv 2511.23404; llama.cpp, src/models/lfm2.cpp): most layers have a gated convolution over
 * three tokens instead of attention.
 */
export const lfm2: Architecture = {
  name: 'lfm2',
  modelTypes: {
    lfm2: {
      defaults: {
        vocab_size: 65_536,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        max_position_embeddings: 128_000,
        norm_eps: 1e-5,
        ...{ rope_theta: 1_000_000, tie_word_embeddings: true, conv_bias: false, conv_L_cache: 3 },
        ...{ block_auto_adjust_ff_dim: true, block_multiple_of: 256, block_ffn_dim_multiplier: 1 },
      },
      keys: { rms_norm_eps: 'norm_eps', tie_word_embeddings: 'tie_embedding' },
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: [...INPUT_NORMS, ...QK_NORMS],
  normPaths: {
    attn_norm: 'operator_norm',
    ffn_norm: 'ffn_norm',
    attn_q_norm: 'self_attn.q_layernorm',
    attn_k_norm: 'self_attn.k_layernorm',
  },
  linearPaths: {
    attn_output: 'self_attn.out_proj',
    ffn_gate: 'feed_forward.w1',
    ffn_up: 'feed_forward.w3',
    ffn_down: 'feed_forward.w2',
  },
  outputNorm: 'token_embd_norm',
  hasConvolutions: true,
};

/** LFM2's mixtures of experts, LFM2-8B-A1B (Liquid AI; llama.cpp, src/models/lfm2moe.cpp): LFM2, with experts in all but its first layers. */
export const lfm2moe: Architecture = {
  ...lfm2,
  name: 'lfm2moe',
  modelTypes: {
    lfm2_moe: {
      defaults: {
        vocab_size: 65_536,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        max_position_embeddings: 128_000,
        norm_eps: 1e-5,
        ...{ rope_theta: 1_000_000, tie_word_embeddings: true, conv_bias: false, conv_L_cache: 3 },
        num_dense_layers: 2,
        num_experts_per_tok: 4,
        norm_topk_prob: true,
        use_expert_bias: true,
        routed_scaling_factor: 1,
      },
      keys: { rms_norm_eps: 'norm_eps', tie_word_embeddings: 'tie_embedding' },
    },
  },
  experts: {
    shares: 'sigmoid',
    normalizes: true,
    paths: {
      ...{ router: 'feed_forward.gate', bias: 'feed_forward.expert_bias', experts: 'feed_forward.experts' },
      ...{ ffn_gate_exps: 'w1', ffn_up_exps: 'w3', ffn_down_exps: 'w2' },
    },
  },
};
