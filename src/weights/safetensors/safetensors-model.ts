import { ENCODER_TYPES } from '../../architectures/encoder.ts';
import { ARCHITECTURES } from '../../architectures/registry.ts';
import { type Architecture, linearPath, NORMS } from '../../architectures/architecture.ts';
import { EXPERT_BIAS, type ExpertPaths, ROUTER, FUSED, LINEAR_NAMES } from '../../architectures/linears.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ByteSource } from '../byte-source.ts';
import { GgufMetadata, type GgufValue } from '../gguf/gguf-metadata.ts';
import { CONVOLUTION, DELTA, DRAFT, PER_LAYER } from '../model-tensors.ts';
import {
  checkVocabSize,
  configMetadata,
  isBidirectional,
  tiesEmbeddings,
  unrotatedLayers,
  withConfigDefaults,
} from './hf-config.ts';
import { ropeDivisors, yarnTruncates } from './hf-rope.ts';
import { type TokenizerFiles, tokenizerMetadata } from './hf-tokenizer.ts';
import { encoderHeader } from './encoder-files.ts';
import { JsonFields, kindOf } from './json-file.ts';
import type { ModelHeader } from '../model-header.ts';
import { changed, type LoadedType, quantized } from '../quantize.ts';
import { readSafetensors } from './safetensors-reader.ts';
import { isOfDense, readDenseModules, withModules } from './sentence-modules.ts';
import type { TensorInfo } from '../tensor-info.ts';
import { stackExperts } from './stacked-experts.ts';

/** transformers' and GGUF's names of a layer's parts. */
function layerParts(architecture: Architecture): ReadonlyMap<string, string> {
  const { norms, normPaths, hasConvolutions, hasDeltaNets, hasPerLayerInputs, experts, isFused } = architecture;
  const own = LINEAR_NAMES.filter((name) => !(isFused && name in FUSED)).map(
    (name) => [linearPath(architecture, name), name] as const,
  );
  const fused = isFused ? Object.entries(FUSED).map(([name, { path }]) => [path, name] as const) : [];
  const convolution = hasConvolutions ? [['conv.conv', CONVOLUTION] as const] : [];
  const routing = experts ? routingParts(experts.paths) : [];
  return new Map([
    ...own,
    ...(hasDeltaNets ? DELTA_PARTS : []),
    ...(hasPerLayerInputs ? PER_LAYER_PARTS : []),
    ...fused,
    ...convolution,
    ...routing,
    ...norms.map((name) => [normPaths?.[name] ?? NORMS[name].path, name] as const),
  ]);
}

/** Parts of a delta net that are not linears; two names lack a suffix. */
const DELTA_PARTS: [string, string][] = [
  ['linear_attn.conv1d', DELTA.convolution.replace('.weight', '')],
  ['linear_attn.norm', DELTA.norm.replace('.weight', '')],
  ['linear_attn.A_log', DELTA.decayRate],
  ['linear_attn.dt_bias', DELTA.decayBias],
];

/** Routers; the bias's name lacks a suffix. */
const routingParts = ({ router, bias }: ExpertPaths): [string, string][] => [
  [router, ROUTER],
  ...(bias === undefined ? [] : [[bias, EXPERT_BIAS] as [string, string]]),
];

/** Parts of a layer with per-layer embeddings. */
const PER_LAYER_PARTS: [string, string][] = [
  ['per_layer_input_gate', PER_LAYER.gate.replace('.weight', '')],
  ['per_layer_projection', PER_LAYER.output.replace('.weight', '')],
  ['post_per_layer_input_norm', PER_LAYER.outputNorm.replace('.weight', '')],
  ['layer_scalar', PER_LAYER.scale],
];

const OUTER_NAMES: Record<string, string> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'model.embedding_norm.weight': 'token_embd_norm.weight',
  'lm_head.weight': 'output.weight',
  'model.embed_tokens_per_layer.weight': PER_LAYER.embeddings,
  'model.per_layer_model_projection.weight': PER_LAYER.projection,
  'model.per_layer_projection_norm.weight': PER_LAYER.norm,
};
/** Parts of a draft head, after its prefix, besides its layer. */
const DRAFT_NAMES: Record<string, string> = {
  'fc.weight': DRAFT.input,
  'pre_fc_norm_embedding.weight': DRAFT.tokenNorm,
  'pre_fc_norm_hidden.weight': DRAFT.stateNorm,
  'norm.weight': DRAFT.outputNorm,
};
/** Name prefixes in a multimodal model: the text model's, by version, and the other parts'. */
const TEXT_PREFIX = /^(?:language_model\.(?=lm_head)|language_model\.model\.|model\.language_model\.)/;
const OTHER_PARTS = /^(?:model\.)?(?:vision_tower|multi_modal_projector|visual|audio_tower|embed_vision|embed_audio)\./;
const LAYER_NAME = /^model\.layers\.(\d+)\.(.+?)(\.weight|\.bias|)$/;
/** Prefix of decoder layers that were saved without an output head. */
const BARE = /^(?=(?:embed_tokens|layers|norm)\.)/;
const INDEX = /\.safetensors\.index\.json$/;
/** Most bytes of a template; the longest known have some 20,000 characters. */
const MOST_TEMPLATE_BYTES = 1 << 20;

/** A file's name without folders and query. */
const baseName = (source: ByteSource): string =>
  source.name
    .replace(/[?#].*$/, '')
    .split(/[/\\]/)
    .at(-1) ?? '';

/** Whether files form a safetensors model, not a GGUF one. */
export const isSafetensors = (sources: readonly ByteSource[]): boolean =>
  sources.some((source) => baseName(source).endsWith('.safetensors'));

/**
 * Reads a transformers model (`config.json`, `tokenizer.json`, `*.safetensors`, and optionally `tokenizer_config.json`,
 * `generation_config.json`, `chat_template.jinja` and a shard index) under GGUF's names, with rows in their own order.
 * Matrices become `type` (default: the stored type), vectors F32, both on reading. Throws `bad_file` and `unsupported`,
 * naming file and field.
 */
export async function openSafetensorsModel(sources: readonly ByteSource[], type?: LoadedType): Promise<ModelHeader> {
  const file = (name: string): ByteSource | undefined => sources.find((source) => baseName(source) === name);
  const json = async (name: string): Promise<JsonFields | undefined> => {
    const source = file(name);
    return source && JsonFields.read(source);
  };
  const files = sources.filter((source) => baseName(source).endsWith('.safetensors') && !isOfDense(source));
  const required = async (name: string): Promise<JsonFields> => {
    const fields = await json(name);
    if (fields) return fields;
    throw new ChunkwiseError('bad_file', {
      file: files[0]?.name ?? '',
      field: name,
      reason: 'this file of the model is missing',
    });
  };
  const index = async (): Promise<JsonFields | undefined> => {
    const source = sources.find((one) => INDEX.test(baseName(one)));
    return source && JsonFields.read(source);
  };
  const { pooling, config = await required('config.json') } = await readConfigs(sources);
  const isDecoder = !isEncoderConfig(config);
  const list = isDecoder ? undefined : file('modules.json');
  const modules = list && (await JsonFields.readList(list));
  const values = isDecoder || isBidirectional(config) ? configMetadata(withConfigDefaults(config)) : undefined;
  const sentence = {
    config,
    pooling,
    modules,
    sentences: isDecoder ? undefined : await json('sentence_bert_config.json'),
  };
  const later = values && !isDecoder ? await readDenseModules(sentence, sources) : undefined;
  const shards = await readShards(files, await index());
  const tokenizer = await required('tokenizer.json');
  if (!values) return encoderHeader({ ...sentence, tokenizer, tensors: shards }, type);
  const template = file('chat_template.jinja');
  const texts = {
    tokenizer,
    tokenizerConfig: await json('tokenizer_config.json'),
    generationConfig: await json('generation_config.json'),
    chatTemplate: template && (await readTemplate(template)),
  };
  const header = await decoderHeader(config, values, shards, texts, type);
  return later ? withModules(header, sentence, later, type) : header;
}

/** Header of a decoder, or of an encoder made of decoder layers. */
async function decoderHeader(
  whole: JsonFields,
  values: Map<string, GgufValue>,
  shards: readonly TensorInfo[],
  files: Omit<TokenizerFiles, 'config'>,
  type: LoadedType | undefined,
): Promise<ModelHeader> {
  const config = withConfigDefaults(whole);
  const isText = config.values['model_type'] !== whole.values['model_type'];
  const architecture = ARCHITECTURES.get(values.get('general.architecture') as string) as Architecture; // configMetadata checked it
  const numLayers = values.get(`${architecture.name}.block_count`) as number;
  const name = namer(architecture, isText, numLayers);
  const named = shards.flatMap((tensor): TensorInfo[] => {
    const own = name(isBidirectional(config) ? tensor.name.replace(BARE, 'model.') : tensor.name);
    return own === undefined ? [] : [{ ...tensor, name: own }];
  });
  const { draftParts } = architecture;
  if (draftParts !== undefined && shards.some((tensor) => tensor.name.startsWith(draftParts))) {
    values.set(`${architecture.name}.block_count`, numLayers + 1);
    values.set(`${architecture.name}.nextn_predict_layers`, 1);
  }
  const found = architecture.experts ? stackExperts(named, architecture.experts.paths) : named;
  checkVocabSize(
    config,
    found.find(({ name }) => name === 'token_embd.weight'),
  );
  for (const [key, value] of tokenizerMetadata({ ...files, config })) values.set(key, value);
  const isTied = tiesEmbeddings(config);
  const [embeddings, output] = ['token_embd.weight', 'output.weight'].map((name) =>
    found.find((tensor) => tensor.name === name),
  );
  // Tied weights are not tied if the file has two matrices with different values (transformers, modeling_utils.py,
  // tie_weights).
  const isOnceMore = isTied && embeddings && output && (await areSame(embeddings, output));
  const tensors = found
    .filter((tensor) => !isOnceMore || tensor !== output)
    .map((tensor) => asInGguf(tensor, architecture, type));
  if (!isTied && !tensors.some(({ name }) => name === 'output.weight')) {
    config.fail('tie_word_embeddings', 'is not true, but the model has no lm_head.weight'); // transformers would initialise it at random
  }
  for (const [name, divisors] of ropeDivisors(config, architecture))
    tensors.push(inMemory(name, divisors, config.file));
  const said = { unrotatedLayers: unrotatedLayers(config), yarnTruncates: yarnTruncates(config) };
  return {
    metadata: new GgufMetadata(config.file, values),
    tensors,
    ropeLayout: 'half',
    valueHeads: 'grouped',
    ...said,
  };
}

/** Bytes per comparison. */
const COMPARED = 1 << 20;

/** Whether two tensors have equal type, shape and values. */
async function areSame(a: TensorInfo, b: TensorInfo): Promise<boolean> {
  if (a.type !== b.type || a.shape.join() !== b.shape.join() || a.bytes !== b.bytes) return false;
  for (let at = 0; at < a.bytes; at += COMPARED) {
    const length = Math.min(COMPARED, a.bytes - at);
    const [one, other] = await Promise.all([a, b].map(({ source, offset }) => source.read(offset + at, length)));
    for (let i = 0; i < length; i++) if (one?.[i] !== other?.[i]) return false;
  }
  return true;
}

/** Converts a tensor to its form in a GGUF file: a matrix of `type` or its stored type; everything else in F32. */
function asInGguf(tensor: TensorInfo, { normOffset = 0 }: Architecture, type: LoadedType | undefined): TensorInfo {
  const is = (...names: readonly string[]): boolean => names.some((name) => tensor.name.endsWith(`.${name}`));
  if (is(`${ROUTER}.weight`)) return quantized(tensor, 'F32'); // small, and precision matters
  if (tensor.name === PER_LAYER.embeddings) return tensor; // it stays off the GPU
  const isConvolution = is(`${CONVOLUTION}.weight`, DELTA.convolution);
  if (tensor.shape.length > 1 && !isConvolution) return type ? quantized(tensor, type) : tensor;
  const vector = quantized(isConvolution ? squeezed(tensor) : tensor, 'F32');
  if (is(DELTA.decayRate)) return changed(vector, (log) => -Math.exp(log));
  const isOffset = normOffset !== 0 && tensor.name.endsWith('norm.weight') && !is(DELTA.norm);
  return isOffset ? changed(vector, (weight) => weight + normOffset) : vector;
}

/** Among several config.json files one is the pooling's, and others belong to later modules. */
async function readConfigs(
  sources: readonly ByteSource[],
): Promise<{ config?: JsonFields | undefined; pooling?: JsonFields | undefined }> {
  const configs = await Promise.all(
    sources.filter((source) => baseName(source) === 'config.json').map((source) => JsonFields.read(source)),
  );
  const pooling = configs.find((one) => Object.keys(one.values).some((key) => key.startsWith('pooling_mode')));
  return { pooling, config: configs.find((one) => one.has('model_type')) ?? configs.find((one) => one !== pooling) };
}

/** Whether a model's `config.json` describes an encoder. Throws `bad_file`. */
export async function namesEncoder(sources: readonly ByteSource[]): Promise<boolean> {
  const { config } = await readConfigs(sources);
  return typeof config?.values['model_type'] === 'string' && isEncoderConfig(config);
}

const isEncoderConfig = (config: JsonFields): boolean =>
  ENCODER_TYPES.has(config.string('model_type')) || isBidirectional(config);

async function readTemplate(source: ByteSource): Promise<string> {
  if (source.size <= MOST_TEMPLATE_BYTES) return new TextDecoder().decode(await source.read(0, source.size));
  const reason = `it has ${source.size} bytes; at most ${MOST_TEMPLATE_BYTES} are read`;
  throw new ChunkwiseError('bad_file', { file: source.name, reason });
}

async function readShards(weights: readonly ByteSource[], index: JsonFields | undefined): Promise<TensorInfo[]> {
  const owners = new Map<string, TensorInfo>();
  for (const source of weights) {
    for (const tensor of (await readSafetensors(source)).tensors) {
      const other = owners.get(tensor.name);
      if (other)
        throw new ChunkwiseError('bad_file', {
          file: source.name,
          field: tensor.name,
          reason: `is also in ${other.source.name}`,
        });
      owners.set(tensor.name, tensor);
    }
  }
  const places = Object.entries(index?.fields('weight_map').values ?? {});
  for (const [name, place] of places) {
    const tensor = owners.get(name);
    if (!tensor || baseName(tensor.source) !== place)
      index?.fail(
        name,
        `should be in ${typeof place === 'string' ? place.slice(0, 200) : kindOf(place)}, where it is not`,
      );
  }
  return [...owners.values()];
}

/**
 * Maps tensor names to GGUF's. An unknown tensor keeps its name, and is rejected later; undefined for one without
 * meaning, such as a buffer of older versions. `isText`: skip a multimodal model's other parts. A draft head becomes
 * the layer after the first `numLayers`.
 */
function namer(architecture: Architecture, isText: boolean, numLayers: number): (name: string) => string | undefined {
  const parts = layerParts(architecture);
  const { draftParts } = architecture;
  const ofLayer = (name: string): string | undefined => {
    const [, layer, part = '', end] = LAYER_NAME.exec(name) ?? [];
    return parts.has(part) ? `blk.${layer}.${parts.get(part)}${end}` : undefined;
  };
  // Only the first of several draft layers is used. An unknown name keeps its place after the layer's prefix, so that
  // the whole head is skipped.
  const ofDraftHead = (name: string): string | undefined => {
    if (/^layers\.(?!0\.)/.test(name)) return undefined;
    const own = Object.hasOwn(DRAFT_NAMES, name) ? DRAFT_NAMES[name] : name;
    return ofLayer(`model.${name.replace('layers.0.', `layers.${numLayers}.`)}`) ?? `blk.${numLayers}.${own}`;
  };
  return (whole) => {
    if (whole.endsWith('rotary_emb.inv_freq') || (isText && OTHER_PARTS.test(whole))) return undefined;
    if (draftParts !== undefined && whole.startsWith(draftParts)) return ofDraftHead(whole.slice(draftParts.length));
    const name = isText
      ? whole.replace(TEXT_PREFIX, (prefix) => (prefix === 'language_model.' ? '' : 'model.'))
      : whole;
    const outer = Object.hasOwn(OUTER_NAMES, name) ? OUTER_NAMES[name] : undefined;
    if (outer !== undefined) return outer;
    return ofLayer(name) ?? name;
  };
}

/** Shape `[channels, 1, taps]` of a depthwise convolution as `[channels, taps]`. */
const squeezed = (tensor: TensorInfo): TensorInfo => ({
  ...tensor,
  shape: tensor.shape.filter((length, i) => i !== 1 || length !== 1),
});

function inMemory(name: string, values: Float32Array, file: string): TensorInfo {
  const bytes = new Uint8Array(values.buffer);
  const source = {
    name: file,
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.slice(offset, offset + length),
  };
  return { name, shape: [values.length], type: 'F32', bytes: bytes.length, offset: 0, source };
}
