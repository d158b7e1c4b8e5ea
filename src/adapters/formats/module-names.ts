import { linearPath } from '../../architectures/architecture.ts';
import { ARCHITECTURES } from '../../architectures/index.ts';
import { LINEAR_NAMES, type LinearName, LINEARS } from '../../architectures/linears.ts';

/** A linear's place in the model. */
export interface ModulePlace {
  layer: number;
  linear: LinearName;
  /** What transformers calls it within a layer; default: as most architectures. */
  path?: string;
}

/** As in GGUF files, without the `.weight`: `blk.3.attn_q`. */
export const ggufName = ({ layer, linear }: ModulePlace): string => `blk.${layer}.${linear}`;

/** As in a transformers model for causal language modelling: `model.layers.3.self_attn.q_proj`. */
export const transformersName = ({ layer, linear, path = LINEARS[linear].path }: ModulePlace): string => `model.layers.${layer}.${path}`;

/** Of a factor of a linear, in a file of either form. */
export const tensorName = (format: 'peft' | 'gguf', place: ModulePlace, factor: 'a' | 'b'): string =>
  format === 'gguf'
    ? `${ggufName(place)}.weight.lora_${factor}`
    : `base_model.model.${transformersName(place)}.lora_${factor.toUpperCase()}.weight`;

const GGUF_NAME = /^blk\.(0|[1-9]\d{0,3})\.([a-z_.]+)$/;
const TRANSFORMERS_NAME = /^model\.layers\.(0|[1-9]\d{0,3})\.([a-z\d_.]+)$/;

/** By what any architecture calls them. */
const LINEARS_BY_PATH: ReadonlyMap<string, LinearName> = new Map(
  [...ARCHITECTURES.values()].flatMap((architecture) => LINEAR_NAMES.map((name) => [linearPath(architecture, name), name] as const)),
);

/** The inverse of `ggufName`; undefined for anything else. */
export function parseGgufName(name: string): ModulePlace | undefined {
  const [, layer, rest] = GGUF_NAME.exec(name) ?? [];
  const linear = LINEAR_NAMES.find((known) => known === rest);
  return linear && { layer: Number(layer), linear };
}

/** The inverse of `transformersName`; undefined for anything else. */
export function parseTransformersName(name: string): ModulePlace | undefined {
  const [, layer, path = ''] = TRANSFORMERS_NAME.exec(name) ?? [];
  const linear = LINEARS_BY_PATH.get(path);
  return linear && { layer: Number(layer), linear, ...(path !== LINEARS[linear].path && { path }) };
}
