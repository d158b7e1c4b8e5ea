import { type Architecture, everyNth } from '../architectures/architecture.ts';
import type { DeltaNet, ModelConfig, SharedKeys } from '../config/model-config.ts';
import { checkMultiple, fail, type GgufMetadata, readInteger } from './gguf/gguf-metadata.ts';

/** Largest accepted sizes, by GGUF's keys after the architecture's name. */
export const MOST_OF_LAYERS = {
  'attention.key_length': 512,
  embedding_length_per_layer_input: 4096,
  'attention.shared_kv_layers': 1024,
} as const;

/**
 * First layer that shares keys, or the number of layers if none does (llama.cpp, src/models/gemma4.cpp). Errors:
 * `bad_file`.
 */
export function firstSharing(
  metadata: GgufMetadata,
  { name, hasPerLayerInputs }: Architecture,
  numLayers: number,
): number {
  const key = `${name}.attention.shared_kv_layers`;
  if (!hasPerLayerInputs || (metadata.optionalNumber(key) ?? 0) === 0) return numLayers;
  const shared = readInteger(metadata, key, MOST_OF_LAYERS['attention.shared_kv_layers']);
  return shared < numLayers
    ? numLayers - shared
    : fail(metadata, key, `${shared} of ${numLayers} layers share keys, so no layer has keys`);
}

/** Layers `from` to `to`, exclusive. */
const layersOf = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/**
 * MLP width of layers with keys of their own, and the config of layers that share keys. Errors: `bad_file`;
 * `unsupported` if widths differ otherwise.
 */
export function readMlpWidths(
  metadata: GgufMetadata,
  { name, hasPerLayerInputs }: Architecture,
  { from, numLayers, most }: { from: number; numLayers: number; most: number },
): { intermediateSize: number; sharedKeys?: SharedKeys } {
  const key = `${name}.feed_forward_length`;
  const listed = metadata.get(key);
  if (hasPerLayerInputs && ArrayBuffer.isView(listed) && metadata.numbers(key).length !== numLayers)
    fail(metadata, key, `must be a number for each of ${numLayers} layers`);
  const intermediateSize = readInteger(metadata, key, most, undefined, layersOf(from, numLayers));
  checkMultiple(metadata, key, intermediateSize, 32);
  if (from === numLayers) return { intermediateSize };
  const shared = readInteger(metadata, key, most, undefined, layersOf(0, from));
  checkMultiple(metadata, key, shared, 32);
  return { intermediateSize, sharedKeys: { from, intermediateSize: shared } };
}

/** Width of per-layer embeddings. Errors: `bad_file`; `unsupported` for a model without them. */
export function readPerLayerInputs(
  metadata: GgufMetadata,
  { name, hasPerLayerInputs }: Architecture,
): Pick<ModelConfig, 'perLayerInputs' | 'valueNorm'> {
  if (!hasPerLayerInputs) return {};
  const key = `${name}.embedding_length_per_layer_input`;
  if (metadata.optionalNumber(key) === 0)
    fail(
      metadata,
      key,
      `a ${name} model without embeddings of its layers is not supported; E2B and E4B are`,
      'unsupported',
    );
  const perLayerInputs = readInteger(metadata, key, MOST_OF_LAYERS.embedding_length_per_layer_input);
  checkMultiple(metadata, key, perLayerInputs, 32);
  return { perLayerInputs, valueNorm: true };
}

/**
 * Head size of sliding-window layers if it is smaller than the other layers'. Errors: `bad_file`; `unsupported` for a
 * size that the kernels lack.
 */
export function readWindowHeads(
  metadata: GgufMetadata,
  { name, hasPerLayerInputs }: Architecture,
  { numHeads, headDim: most }: Pick<ModelConfig, 'numHeads' | 'headDim'>,
): number | undefined {
  if (!hasPerLayerInputs) return undefined;
  const key = `${name}.attention.key_length_swa`;
  const headDim = readInteger(metadata, key, most, most);
  checkMultiple(metadata, key, headDim, 16);
  checkMultiple(metadata, key, numHeads * headDim, 32);
  for (const other of ['attention.value_length_swa', 'rope.dimension_count_swa']) {
    const field = `${name}.${other}`;
    const value = metadata.optionalNumber(field) ?? headDim;
    if (value !== headDim) fail(metadata, field, `${value} differs from the head size ${headDim}`, 'unsupported');
  }
  return headDim === most ? undefined : headDim;
}

/** Checks that each layer that shares keys has an earlier layer of its kind with keys. Errors: `bad_file`. */
export function checkSources(
  metadata: GgufMetadata,
  { sharedKeys, window, numLayers }: Pick<ModelConfig, 'sharedKeys' | 'window' | 'numLayers'>,
  name: string,
): void {
  if (!sharedKeys) return;
  const isWindowed = (layer: number): boolean => window?.layers.includes(layer) === true;
  const own = new Set(layersOf(0, sharedKeys.from).map(isWindowed));
  const missing = layersOf(sharedKeys.from, numLayers).find((layer) => !own.has(isWindowed(layer)));
  if (missing !== undefined)
    fail(
      metadata,
      `${name}.attention.shared_kv_layers`,
      `layer ${missing} shares keys, but no earlier layer of its kind has any`,
    );
}

/** Largest accepted sizes of delta nets, by GGUF's keys after the architecture's name. */
export const MOST_DELTA = {
  'ssm.conv_kernel': 32,
  'ssm.state_size': 256,
  'ssm.group_count': 1024,
  'ssm.time_step_rank': 1024,
} as const;
const DEFAULT_INTERVAL = 4;

/**
 * Layers with a delta net and its sizes, from GGUF's metadata (llama.cpp, src/models/qwen35.cpp). Value heads are tiled
 * in GGUF files. Errors: `bad_file`; `unsupported` for sizes that the kernels lack.
 */
export function readDeltaNet(
  metadata: GgufMetadata,
  { name, hasDeltaNets }: Architecture,
  numLayers: number,
  valueHeads: DeltaNet['valueHeads'] = 'tiled',
): DeltaNet | undefined {
  if (!hasDeltaNets) return undefined;
  const integer = (key: keyof typeof MOST_DELTA): number => readInteger(metadata, `${name}.${key}`, MOST_DELTA[key]);
  const layers = readLayers(metadata, name, numLayers);
  if (layers.length === 0) return undefined;
  if (layers.length === numLayers) fail(metadata, `${name}.full_attention_interval`, 'no layer attends', 'unsupported');
  const headDim = integer('ssm.state_size');
  const numKeyHeads = integer('ssm.group_count');
  const numValueHeads = integer('ssm.time_step_rank');
  const taps = integer('ssm.conv_kernel');
  checkMultiple(metadata, `${name}.ssm.state_size`, headDim, 16);
  checkMultiple(metadata, `${name}.ssm.time_step_rank`, numValueHeads, 8); // LoRA kernels compute eight outputs at a time
  if (numValueHeads % numKeyHeads !== 0)
    fail(metadata, `${name}.ssm.group_count`, `${numKeyHeads} key heads do not divide ${numValueHeads} value heads`);
  if (taps === 1)
    fail(metadata, `${name}.ssm.conv_kernel`, 'a convolution of one token is not supported', 'unsupported');
  const inner = `${name}.ssm.inner_size`;
  if (metadata.number(inner) !== numValueHeads * headDim)
    fail(metadata, inner, `value heads must have the size of key heads, ${headDim}`, 'unsupported');
  return { numKeyHeads, numValueHeads, headDim, taps, valueHeads, layers };
}

/** Reads one flag per layer, or an interval of attention layers. */
function readLayers(metadata: GgufMetadata, name: string, numLayers: number): number[] {
  const all = everyNth(1, numLayers);
  const key = `${name}.attention.recurrent_layers`;
  const flags = metadata.get(key);
  if (flags === undefined) {
    const attending = everyNth(
      readInteger(metadata, `${name}.full_attention_interval`, 1024, DEFAULT_INTERVAL),
      numLayers,
    );
    return all.filter((layer) => !attending.includes(layer));
  }
  const listed: unknown[] = Array.isArray(flags) || ArrayBuffer.isView(flags) ? [...flags] : [];
  const isFlag = (flag: unknown): boolean => typeof flag === 'boolean' || Number(flag) === 0 || Number(flag) === 1;
  if (listed.length < numLayers || !listed.every(isFlag))
    fail(metadata, key, `must be a flag for each of ${numLayers} layers`);
  return all.filter((layer) => Boolean(Number(listed[layer])));
}
