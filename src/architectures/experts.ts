import type { ModelConfig } from '../config/model-config.ts';

/** Of a layer with experts in place of its MLP, by llama.cpp's names (src/llama-arch.cpp): what chooses them, `[count, hiddenSize]`. */
export const ROUTER = { name: 'ffn_gate_inp', path: 'mlp.gate' } as const;

interface ExpertLinear {
  /** What transformers calls it within an expert. */
  path: string;
  outputs: 'hidden' | 'intermediate';
}

/** An expert's linears; a GGUF file has each of all experts in one tensor `[count, outFeatures, inFeatures]`. */
export const EXPERT_LINEARS = {
  ffn_gate_exps: { path: 'gate_proj', outputs: 'intermediate' },
  ffn_up_exps: { path: 'up_proj', outputs: 'intermediate' },
  ffn_down_exps: { path: 'down_proj', outputs: 'hidden' },
} as const satisfies Record<string, ExpertLinear>;

export type ExpertLinearName = keyof typeof EXPERT_LINEARS;

export const EXPERT_LINEAR_NAMES = Object.keys(EXPERT_LINEARS) as ExpertLinearName[];

/** `[outFeatures, inFeatures]` of an expert's linear. */
export function expertShape({ hiddenSize, experts }: Pick<ModelConfig, 'hiddenSize' | 'experts'>, name: ExpertLinearName): [number, number] {
  const width = experts?.intermediateSize ?? 0;
  return EXPERT_LINEARS[name].outputs === 'hidden' ? [hiddenSize, width] : [width, hiddenSize];
}
