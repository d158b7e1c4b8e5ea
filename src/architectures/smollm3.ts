import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

/** SmolLM3 (Hugging Face; llama.cpp, src/models/smollm3.cpp): Llama's layers, of which every fourth is not rotated. */
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
