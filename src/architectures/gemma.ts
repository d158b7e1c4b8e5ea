import { type Architecture, INPUT_NORMS, OUTPUT_NORMS, QK_NORMS } from './architecture.ts';

/** Layers of Gemma 3, causal or bidirectional. */
const GEMMA3_LAYERS: Omit<Architecture, 'name' | 'modelTypes'> = {
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
 * Gemma 3, text only (arXiv 2503.19786; llama.cpp, src/models/gemma3.cpp): five of six layers have a sliding window, and
 * each half of a layer has a post-norm.
 */
export const gemma3: Architecture = {
  ...GEMMA3_LAYERS,
  name: 'gemma3',
  modelTypes: {
    gemma3_text: {
      defaults: {
        // Configs of multimodal models list only text fields that differ from these.
        vocab_size: 262_208,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 256,
        query_pre_attn_scalar: 256,
        ...{ max_position_embeddings: 131_072 },
        hidden_activation: 'gelu_pytorch_tanh',
        sliding_window: 4096,
        rope_theta: 1_000_000,
        tie_word_embeddings: true,
      },
      window: 'by layer',
      bidirectional: 'gemma-embedding',
    },
    gemma3: { defaults: {}, textConfig: 'text_config' },
  },
  scoresByHidden: 62,
};

/**
 * EmbeddingGemma (arXiv 2509.20354; llama.cpp, src/models/gemma-embedding.cpp): Gemma 3's layers with bidirectional
 * attention. In transformers it is a Gemma 3 with `use_bidirectional_attention`.
 */
export const gemmaEmbedding: Architecture = { ...GEMMA3_LAYERS, name: 'gemma-embedding', modelTypes: {} };

/**
 * Gemma 4 E2B and E4B, text only (transformers, modeling_gemma4.py; llama.cpp, src/models/gemma4.cpp): per-layer token
 * embeddings, the last layers share keys and values of earlier ones, and layers without a window have larger heads.
 */
export const gemma4: Architecture = {
  name: 'gemma4',
  modelTypes: {
    gemma4_text: {
      defaults: {
        vocab_size: 262_144,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 256,
        global_head_dim: 512,
        max_position_embeddings: 131_072,
        hidden_activation: 'gelu_pytorch_tanh',
        sliding_window: 512,
        tie_word_embeddings: true,
        hidden_size_per_layer_input: 256,
        num_kv_shared_layers: 0,
        rope_parameters: {
          sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
          full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
        },
      },
      window: 'by layer',
    },
    gemma4: { defaults: {}, textConfig: 'text_config' },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'gelu',
  norms: [...INPUT_NORMS, ...QK_NORMS, ...OUTPUT_NORMS],
  normPaths: { ffn_norm: 'pre_feedforward_layernorm' },
  window: { allBut: 6, ropeTheta: 10_000 },
  hasPerLayerInputs: true,
  capsLogits: true,
  scalesEmbeddings: true,
  attentionScale: 1,
};
