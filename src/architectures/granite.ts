import type { Architecture } from './architecture.ts';
import { INPUT_NORMS } from './norms.ts';

/** Granite 3 and 4 without experts or states (IBM; llama.cpp, src/models/granite.cpp): Llama's layers with four multipliers. */
export const granite: Architecture = {
  name: 'granite',
  modelTypes: {
    granite: { defaults: { max_position_embeddings: 2048, attention_multiplier: 1 } },
  },
  ropeLayout: 'interleaved',
  qkvBias: 'where present',
  activation: 'silu',
  norms: INPUT_NORMS,
  unrotated: { unless: 'rope.scaling.finetuned' },
  multipliers: {
    attentionScale: { gguf: 'attention.scale', config: 'attention_multiplier' },
    embeddingScale: { gguf: 'embedding_scale', config: 'embedding_multiplier' },
    residualScale: { gguf: 'residual_scale', config: 'residual_multiplier' },
    logitDivisor: { gguf: 'logit_scale', config: 'logits_scaling' },
  },
};
