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
import { ggufName, type ModulePlace, ROOT } from './module-names.ts';

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
