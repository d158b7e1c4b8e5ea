import type { Architecture } from './architecture.ts';
import { INPUT_NORMS, QK_NORMS } from './norms.ts';

/** OLMoE (arXiv 2409.02060): experts in every layer, whose shares are of all; q and k are normed whole. */
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
