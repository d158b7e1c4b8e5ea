import { type FusedName, type LinearName, LINEARS } from '../architectures/linears.ts';

/** A linear's place in the model. */
export interface ModulePlace {
  layer: number;
  linear: LinearName;
  /** Name within a layer in transformers, if it differs from linears.ts. */
  path?: string;
  /** Prefix of the layers' names, in models with parts other than text. */
  root?: string | undefined;
  /** Set for a fused group of linears, whose first is `linear`. */
  fused?: FusedName;
}

/** Name in GGUF files, without `.weight`: `blk.3.attn_q`. */
export const ggufName = ({ layer, linear, fused }: ModulePlace): string => `blk.${layer}.${fused ?? linear}`;

/** Name in transformers' causal language models: `model.layers.3.self_attn.q_proj`. */
export const transformersName = ({ layer, linear, path = LINEARS[linear].path, root = ROOT }: ModulePlace): string =>
  `${root}layers.${layer}.${path}`;

/** Prefix of the layers' names in models of text alone. */
export const ROOT = 'model.';

/** Tensor name of a linear's factor, in either file format. */
export const tensorName = (format: 'peft' | 'gguf', place: ModulePlace, factor: 'a' | 'b'): string =>
  format === 'gguf'
    ? `${ggufName(place)}.weight.lora_${factor}`
    : `base_model.model.${transformersName(place)}.lora_${factor.toUpperCase()}.weight`;
