import type { Architecture } from '../architecture.ts';
import { INPUT_NORMS, OUTPUT_NORMS, QK_NORMS } from '../norms.ts';

/**
 * Gemma 4 E2B and E4B, their text alone (transformers, modeling_gemma4.py; llama.cpp, src/models/gemma4.cpp): each layer
 * takes in an embedding of the token that is its own, the last ones attend to earlier ones' keys and values, and heads of
 * layers without a window are larger.
 */
export const gemma4: Architecture = {
  name: 'gemma4',
  modelTypes: {
    gemma4_text: {
      defaults: {
        ...{
          vocab_size: 262_144,
          num_attention_heads: 8,
          num_key_value_heads: 4,
          head_dim: 256,
          global_head_dim: 512,
          max_position_embeddings: 131_072,
        },
        ...{
          hidden_activation: 'gelu_pytorch_tanh',
          sliding_window: 512,
          tie_word_embeddings: true,
          hidden_size_per_layer_input: 256,
          num_kv_shared_layers: 0,
        },
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
