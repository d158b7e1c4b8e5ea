import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

/** Llama (arXiv 2302.13971) and its like: SmolLM2, TinyLlama, and Mistral, which may attend within a window. */
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
