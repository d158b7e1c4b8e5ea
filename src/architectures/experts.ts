import type { ModelConfig } from '../config/model-config.ts';

/** Of a layer with experts in place of its MLP, by llama.cpp's names (src/llama-arch.cpp): what scores them, `[count, hiddenSize]`. */
export const ROUTER = 'ffn_gate_inp';
/** What is added to their shares where these are compared, `[count]`, in models that have it. */
export const EXPERT_BIAS = 'exp_probs_b.bias';

/** An expert's linears; a GGUF file has each of all experts in one tensor `[count, outFeatures, inFeatures]`. */
export const EXPERT_LINEARS = ['ffn_gate_exps', 'ffn_up_exps', 'ffn_down_exps'] as const;

export type ExpertLinearName = (typeof EXPERT_LINEARS)[number];

/** What transformers calls these within a layer, and the linears within an expert. */
export interface ExpertPaths extends Readonly<Record<ExpertLinearName, string>> {
  router: string;
  bias?: string;
  /** Before an expert's number. */
  experts: string;
}

/** `[outFeatures, inFeatures]` of an expert's linear. */
export function expertShape(
  { hiddenSize, experts }: Pick<ModelConfig, 'hiddenSize' | 'experts'>,
  name: ExpertLinearName,
): [number, number] {
  const width = experts?.intermediateSize ?? 0;
  return name === 'ffn_down_exps' ? [hiddenSize, width] : [width, hiddenSize];
}
