import type { Architecture } from './architecture.ts';
import { INPUT_NORMS, QK_NORMS } from './norms.ts';

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
