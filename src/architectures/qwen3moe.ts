import type { Architecture } from './architecture.ts';
import { INPUT_NORMS, QK_NORMS } from './norms.ts';

/** Qwen3's mixtures of experts (arXiv 2505.09388): Qwen3's attention, and experts in every layer. */
export const qwen3moe: Architecture = {
  name: 'qwen3moe',
  modelTypes: {
    qwen3_moe: {
      defaults: {
        ...{ max_position_embeddings: 32_768, num_key_value_heads: 4, sliding_window: 4096 },
        ...{ num_experts_per_tok: 8, norm_topk_prob: false, decoder_sparse_step: 1 },
      },
      window: 'where used',
      keys: { num_experts: 'num_local_experts' },
    },
  },
  ropeLayout: 'half',
  qkvBias: 'where present',
  activation: 'silu',
  norms: [...INPUT_NORMS, ...QK_NORMS],
  experts: {
    shares: 'softmax',
    normalizes: true,
    paths: {
      router: 'mlp.gate',
      experts: 'mlp.experts',
      ffn_gate_exps: 'gate_proj',
      ffn_up_exps: 'up_proj',
      ffn_down_exps: 'down_proj',
    },
  },
};
