import { linearPath } from '../architectures/architecture.ts';
import { ARCHITECTURES, architectureOf } from '../architectures/registry.ts';
import {
  FUSED,
  type FusedName,
  fusedOf,
  LINEAR_NAMES,
  type LinearName,
  LINEARS,
  linearsOfGroup,
  linearsOfLayer,
} from '../architectures/linears.ts';
import type { ModelConfig } from '../config/model-config.ts';

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

const ROOT = 'model.';

/** Tensor name of a linear's factor, in either file format. */
export const tensorName = (format: 'peft' | 'gguf', place: ModulePlace, factor: 'a' | 'b'): string =>
  format === 'gguf'
    ? `${ggufName(place)}.weight.lora_${factor}`
    : `base_model.model.${transformersName(place)}.lora_${factor.toUpperCase()}.weight`;

const GGUF_NAME = /^blk\.(0|[1-9]\d{0,3})\.([a-z_.]+)$/;
/** Includes the prefixes of multimodal models, by version of transformers. */
const TRANSFORMERS_NAME =
  /^(model\.|model\.language_model\.|language_model\.model\.)layers\.(0|[1-9]\d{0,3})\.([a-z\d_.]+)$/;
const FUSED_NAMES = Object.keys(FUSED) as FusedName[];

/** Linears by their names in any architecture. */
const LINEARS_BY_PATH: ReadonlyMap<string, LinearName> = new Map(
  [...ARCHITECTURES.values()].flatMap((architecture) =>
    LINEAR_NAMES.map((name) => [linearPath(architecture, name), name] as const),
  ),
);

/** Place of a fused group. */
const fusedPlace = (layer: number, fused: FusedName): ModulePlace => ({
  layer,
  linear: linearsOfGroup(FUSED[fused].group)[0]!,
  path: FUSED[fused].path,
  fused,
});

/** The inverse of `ggufName`; undefined for other names. `isFused`: the base's files have fused groups. */
export function parseGgufName(name: string, isFused = false): ModulePlace | undefined {
  const [, layer, rest] = GGUF_NAME.exec(name) ?? [];
  const fused = isFused ? FUSED_NAMES.find((known) => known === rest) : undefined;
  if (fused) return fusedPlace(Number(layer), fused);
  const linear = LINEAR_NAMES.find((known) => known === rest);
  return linear && { layer: Number(layer), linear };
}

/** The inverse of `transformersName`; undefined for other names. */
export function parseTransformersName(name: string): ModulePlace | undefined {
  const [, root, layer, path = ''] = TRANSFORMERS_NAME.exec(name) ?? [];
  const within = root === ROOT ? {} : { root };
  const fused = FUSED_NAMES.find((known) => FUSED[known].path === path);
  if (fused) return { ...fusedPlace(Number(layer), fused), ...within };
  const linear = LINEARS_BY_PATH.get(path);
  return linear && { layer: Number(layer), linear, ...(path !== LINEARS[linear].path && { path }), ...within };
}

/** Modules of a layer that adapters can change. */
export function modulesOfLayer(model: ModelConfig, layer: number): ModulePlace[] {
  const architecture = architectureOf(model);
  const places = linearsOfLayer(model, layer).map((linear): ModulePlace => {
    const fused = architecture.isFused && fusedOf(linear);
    return fused ? fusedPlace(layer, fused) : { layer, linear, path: linearPath(architecture, linear) };
  });
  return places.filter((place, i) => places.findIndex((other) => ggufName(other) === ggufName(place)) === i);
}
