import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

/** Phi-3 and Phi-4-mini (arXiv 2404.14219, 2503.01743; llama.cpp, src/models/phi3.cpp): fused linears, heads that may be rotated in part, and a window in some. */
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
