import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

/** Ministral 3 (Mistral AI; llama.cpp, src/models/mistral3.cpp), its text alone: Llama's layers, YaRN, and scores that grow with the position. */
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
