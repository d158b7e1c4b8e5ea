import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

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
