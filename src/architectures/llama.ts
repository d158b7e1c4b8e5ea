import { type Architecture, INPUT_NORMS, QK_NORMS } from './architecture.ts';

/** Llama (arXiv 2302.13971), SmolLM2, TinyLlama, and Mistral, which may have a sliding window. */
export const llama: Architecture = {
  name: 'llama',
  modelTypes: {
    llama: { defaults: { max_position_embeddings: 2048 } },
    mistral: {
      defaults: { max_position_embeddings: 131_072, num_key_value_heads: 8, sliding_window: 4096 },
      window: 'always',
    },
  },
  ropeLayout: 'interleaved',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
};

/** Ministral 3, text only (Mistral AI; llama.cpp, src/models/mistral3.cpp): Llama's layers, YaRN, and scores that grow with the position. */
export const mistral3: Architecture = {
  name: 'mistral3',
  modelTypes: {
    ministral3: {
      defaults: {
        ...{ max_position_embeddings: 262_144, num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5 },
        rope_parameters: {
          ...{ rope_type: 'yarn', rope_theta: 1_000_000, factor: 16, original_max_position_embeddings: 16_384 },
          ...{ beta_fast: 32, beta_slow: 1, mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.1 },
        },
      },
      window: 'always',
    },
    mistral3: { defaults: {}, textConfig: 'text_config' },
  },
  ropeLayout: 'interleaved',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
};

/** SmolLM3 (Hugging Face; llama.cpp, src/models/smollm3.cpp): Llama's layers, every fourth without RoPE. */
export const smollm3: Architecture = {
  name: 'smollm3',
  modelTypes: {
    smollm3: {
      defaults: {
        max_position_embeddings: 32_768,
        num_key_value_heads: 4,
        rope_theta: 2_000_000,
        tie_word_embeddings: true,
      },
      window: 'where used',
    },
  },
  ropeLayout: 'interleaved',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
  unrotated: { every: 4 },
};

/** Granite 3 and 4 without experts or recurrent layers (IBM; llama.cpp, src/models/granite.cpp): Llama's layers with four multipliers. */
export const granite: Architecture = {
  name: 'granite',
  modelTypes: {
    granite: { defaults: { max_position_embeddings: 2048, attention_multiplier: 1 } },
  },
  ropeLayout: 'interleaved',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
  unrotated: { unless: 'rope.scaling.finetuned' },
  multipliers: {
    attentionScale: { gguf: 'attention.scale', config: 'attention_multiplier' },
    embeddingScale: { gguf: 'embedding_scale', config: 'embedding_multiplier' },
    residualScale: { gguf: 'residual_scale', config: 'residual_multiplier' },
    logitDivisor: { gguf: 'logit_scale', config: 'logits_scaling' },
  },
};

/** Phi-3 and Phi-4-mini (arXiv 2404.14219, 2503.01743; llama.cpp, src/models/phi3.cpp): fused linears, partial RoPE, and a sliding window in some models. */
export const phi3: Architecture = {
  name: 'phi3',
  modelTypes: {
    phi3: {
      defaults: { max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
      window: 'always',
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
  window: {},
  rotatesPart: true,
  isFused: true,
};

/** OLMoE (arXiv 2409.02060): experts in every layer, with shares normalized over all experts; norms of q and k span all heads. */
export const olmoe: Architecture = {
  name: 'olmoe',
  modelTypes: {
    olmoe: {
      defaults: { max_position_embeddings: 4096, rms_norm_eps: 1e-5, num_experts_per_tok: 8, norm_topk_prob: false },
      keys: { num_experts: 'num_local_experts' },
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: [...INPUT_NORMS, ...QK_NORMS],
  normsQkWhole: true,
  experts: {
    shares: 'softmax',
    normalizes: false,
    isMlpSized: true,
    paths: {
      router: 'mlp.gate',
      experts: 'mlp.experts',
      ffn_gate_exps: 'gate_proj',
      ffn_up_exps: 'up_proj',
      ffn_down_exps: 'down_proj',
    },
  },
};
