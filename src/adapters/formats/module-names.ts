import { FUSED, type FusedName, LINEAR_NAMES, type LinearName, LINEARS, linearsOfGroup } from '../../architectures/linears.ts';

/** A linear's place in the model. */
export interface ModulePlace {
  layer: number;
  linear: LinearName;
  /** The linear is a whole group of them, of which `linear` is the first. */
  fused?: FusedName;
}

/** As in GGUF files, without the `.weight`: `blk.3.attn_q`. */
export const ggufName = ({ layer, linear, fused }: ModulePlace): string => `blk.${layer}.${fused ?? linear}`;

/** As in a transformers model for causal language modelling: `model.layers.3.self_attn.q_proj`. */
export const transformersName = ({ layer, linear, fused }: ModulePlace): string =>
  `model.layers.${layer}.${fused ? FUSED[fused].path : LINEARS[linear].path}`;

/** Of a factor of a linear, in a file of either form. */
export const tensorName = (format: 'peft' | 'gguf', place: ModulePlace, factor: 'a' | 'b'): string =>
  format === 'gguf'
    ? `${ggufName(place)}.weight.lora_${factor}`
    : `base_model.model.${transformersName(place)}.lora_${factor.toUpperCase()}.weight`;

const GGUF_NAME = /^blk\.(0|[1-9]\d{0,3})\.([a-z_]+)$/;
const TRANSFORMERS_NAME = /^model\.layers\.(0|[1-9]\d{0,3})\.([a-z_.]+)$/;
const FUSED_NAMES = Object.keys(FUSED) as FusedName[];

/** That of a whole group. */
export const fusedPlace = (layer: number, fused: FusedName): ModulePlace => ({ layer, linear: linearsOfGroup(FUSED[fused].group)[0]!, fused });

/** The inverse of `ggufName`; undefined for anything else. `isFused`: of a base whose files have groups of linears as one. */
export function parseGgufName(name: string, isFused = false): ModulePlace | undefined {
  const [, layer, rest] = GGUF_NAME.exec(name) ?? [];
  const fused = isFused ? FUSED_NAMES.find((known) => known === rest) : undefined;
  if (fused) return fusedPlace(Number(layer), fused);
  const linear = LINEAR_NAMES.find((known) => known === rest);
  return linear && { layer: Number(layer), linear };
}

/** The inverse of `transformersName`; undefined for anything else. */
export function parseTransformersName(name: string): ModulePlace | undefined {
  const [, layer, rest] = TRANSFORMERS_NAME.exec(name) ?? [];
  const fused = FUSED_NAMES.find((known) => FUSED[known].path === rest);
  if (fused) return fusedPlace(Number(layer), fused);
  const linear = LINEAR_NAMES.find((known) => LINEARS[known].path === rest);
  return linear && { layer: Number(layer), linear };
}
