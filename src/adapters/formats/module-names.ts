import type { ModelConfig } from '../../config/model-config.ts';

/** The linears an adapter may change, by llama.cpp's names, and what transformers calls them. */
export const LINEAR_PATHS = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
} as const;

export type LinearName = keyof typeof LINEAR_PATHS;

export const LINEAR_NAMES = Object.keys(LINEAR_PATHS) as LinearName[];

/** A linear's place in the model. */
export interface ModulePlace {
  layer: number;
  linear: LinearName;
}

/** As in GGUF files, without the `.weight`: `blk.3.attn_q`. */
export const ggufName = ({ layer, linear }: ModulePlace): string => `blk.${layer}.${linear}`;

/** As in a transformers model for causal language modelling: `model.layers.3.self_attn.q_proj`. */
export const transformersName = ({ layer, linear }: ModulePlace): string =>
  `model.layers.${layer}.${LINEAR_PATHS[linear]}`;

/** Of a factor of a linear, in a file of either form. */
export const tensorName = (format: 'peft' | 'gguf', place: ModulePlace, factor: 'a' | 'b'): string =>
  format === 'gguf'
    ? `${ggufName(place)}.weight.lora_${factor}`
    : `base_model.model.${transformersName(place)}.lora_${factor.toUpperCase()}.weight`;

const GGUF_NAME = /^blk\.(0|[1-9]\d{0,3})\.([a-z_]+)$/;
const TRANSFORMERS_NAME = /^model\.layers\.(0|[1-9]\d{0,3})\.([a-z_.]+)$/;

/** The inverse of `ggufName`; undefined for anything else. */
export function parseGgufName(name: string): ModulePlace | undefined {
  const [, layer, rest] = GGUF_NAME.exec(name) ?? [];
  const linear = LINEAR_NAMES.find((known) => known === rest);
  return linear && { layer: Number(layer), linear };
}

/** The inverse of `transformersName`; undefined for anything else. */
export function parseTransformersName(name: string): ModulePlace | undefined {
  const [, layer, rest] = TRANSFORMERS_NAME.exec(name) ?? [];
  const linear = LINEAR_NAMES.find((known) => LINEAR_PATHS[known] === rest);
  return linear && { layer: Number(layer), linear };
}

/** `[outFeatures, inFeatures]` of a linear. */
export function linearShape(model: ModelConfig, linear: LinearName): [number, number] {
  const { hiddenSize, intermediateSize, headDim } = model;
  const qSize = model.numHeads * headDim;
  const kvSize = model.numKvHeads * headDim;
  const shapes: Record<LinearName, [number, number]> = {
    attn_q: [qSize, hiddenSize],
    attn_k: [kvSize, hiddenSize],
    attn_v: [kvSize, hiddenSize],
    attn_output: [hiddenSize, qSize],
    ffn_gate: [intermediateSize, hiddenSize],
    ffn_up: [intermediateSize, hiddenSize],
    ffn_down: [hiddenSize, intermediateSize],
  };
  return shapes[linear];
}
