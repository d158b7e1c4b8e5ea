import type { Architecture } from '../../architectures/architecture.ts';
import type { ModelConfig, SharedKeys } from '../../config/model-config.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import { checkMultiple, fail, readInteger } from '../metadata-numbers.ts';

/** The largest sizes that are read, by GGUF's keys behind the architecture's name. */
export const MOST_OF_LAYERS = {
  'attention.key_length': 512,
  embedding_length_per_layer_input: 4096,
  'attention.shared_kv_layers': 1024,
} as const;

/** The first layer that shares keys, or how many layers there are (llama.cpp, src/models/gemma4.cpp). Errors: `bad_file`. */
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
    : fail(metadata, key, `${shared} of ${numLayers} layers share keys of others, so none has any`);
}

/** Layers from `from` up to `to`. */
const layersOf = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The width of the MLP of layers with keys of their own, and what the others share. Errors: `bad_file`; `unsupported` where layers differ otherwise. */
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

/** Numbers that each layer takes in of a token. Errors: `bad_file`; `unsupported` for a model without. */
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

/** The size of heads of layers with a window, where it is another, which is smaller. Errors: `bad_file`; `unsupported` for one that the kernels do not compute. */
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

/** Each kind of layer that shares keys needs one before it that has its own. Errors: `bad_file`. */
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
      `layer ${missing} has no layer of its kind before it whose keys it could share`,
    );
}
