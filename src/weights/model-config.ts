import { type Architecture, everyNth, type Multiplier } from '../architectures/architecture.ts';
import { ENCODERS } from '../architectures/encoder.ts';
import { ARCHITECTURES } from '../architectures/registry.ts';
import type { Experts, ModelConfig, ShortConvolution, SlidingWindow } from '../config/model-config.ts';
import { checkMultiple, fail, type GgufMetadata, readInteger, readRange } from './gguf/gguf-metadata.ts';
import {
  checkSources,
  firstSharing,
  MOST_OF_LAYERS,
  readDeltaNet,
  readMlpWidths,
  readPerLayerInputs,
  readWindowHeads,
} from './layer-config.ts';
import type { ModelHeader } from './model-header.ts';
import { readRope } from './rope-config.ts';

/** Largest accepted sizes, by GGUF's keys after the architecture's name. */
export const MOST = {
  block_count: 1024,
  embedding_length: 65_536,
  feed_forward_length: 1_048_576,
  context_length: 2 ** 30,
  'attention.head_count': 1024,
  'attention.head_count_kv': 1024,
  'attention.key_length': 256,
  'attention.value_length': 256,
  'shortconv.l_cache': 32,
  expert_count: 1024,
  expert_used_count: 64,
  expert_feed_forward_length: 1_048_576,
} as const;
/** Most tokens in a vocabulary. */
export const MOST_TOKENS = 2 ** 21;

/**
 * Reads a model's hyperparameters from its metadata, with llama.cpp's keys and defaults (src/llama-model.cpp,
 * load_hparams). Throws `bad_file` for an invalid value and `unsupported` for one that this runtime does not run,
 * naming the key.
 */
export function readModelConfig(file: ModelHeader): ModelConfig {
  const name = file.metadata.get('general.architecture');
  if (typeof name === 'string' && ENCODERS.has(name))
    fail(file.metadata, 'general.architecture', `a ${name} model is an encoder and generates no text`, 'unsupported');
  return readDecoderConfig(file);
}

/** Reads the config of decoder layers, including those of an encoder. */
export function readDecoderConfig(file: ModelHeader): ModelConfig {
  const { metadata } = file;
  const found = readArchitecture(metadata);
  const { name: architecture, activation, norms } = found;
  const key = (name: string): string => `${architecture}.${name}`;
  const integer = (name: keyof typeof MOST, fallback?: number, layersWithout?: readonly number[]): number =>
    readInteger(metadata, key(name), MOST[name], fallback, layersWithout);
  const hasTensor = (name: string): boolean => file.tensors.some((tensor) => tensor.name === name);

  const numLayers = integer('block_count') - draftLayers(metadata, architecture);
  if (numLayers < 1) fail(metadata, key('block_count'), 'there are only draft layers');
  const hiddenSize = integer('embedding_length');
  const widths = readMlpWidths(metadata, found, {
    from: firstSharing(metadata, found, numLayers),
    numLayers,
    most: MOST.feed_forward_length,
  });
  const numHeads = integer('attention.head_count');
  const convolution = readConvolution(metadata, found, numLayers);
  const numKvHeads = integer('attention.head_count_kv', numHeads, convolution?.layers);
  const contextLength = integer('context_length');
  const mostHeadDim = found.hasPerLayerInputs ? MOST_OF_LAYERS['attention.key_length'] : MOST['attention.key_length'];
  const headDim = readInteger(metadata, key('attention.key_length'), mostHeadDim, Math.floor(hiddenSize / numHeads));
  const rmsNormEps = readRange(metadata, key('attention.layer_norm_rms_epsilon'), [1e-20, 1]);

  checkMultiple(metadata, key('embedding_length'), hiddenSize, 32);
  checkHeads(metadata, architecture, { hiddenSize, numHeads, numKvHeads, headDim, mostHeadDim });
  checkUnsupportedFeatures(metadata, found, contextLength);
  const window = readWindow(metadata, found, { numLayers, contextLength, numHeads, headDim });
  checkSources(metadata, { ...widths, ...window, numLayers }, architecture);
  return {
    architecture,
    numLayers,
    hiddenSize,
    ...widths,
    numHeads,
    numKvHeads,
    headDim,
    vocabSize: readVocabSize(metadata, architecture),
    contextLength,
    rmsNormEps,
    ...readRope(file, found, { headDim, contextLength }),
    unrotatedLayers: file.unrotatedLayers ?? readUnrotated(metadata, found, numLayers),
    ...window,
    ...readPerLayerInputs(metadata, found),
    ...(convolution && { convolution }),
    ...readStates(file, found, numLayers),
    ...readExperts(metadata, found, numLayers),
    qkvBias: found.qkvBias === 'always' || file.tensors.some(({ name }) => name.endsWith('.attn_q.bias')),
    qkNorm: norms.includes('attn_q_norm') && !found.normsQkWhole,
    ...(found.normsQkWhole && { normsQkWhole: true }),
    postNorms: norms.includes('post_ffw_norm'),
    activation,
    ...readMultipliers(metadata, found, { numLayers, hiddenSize, numHeads }),
    tiedEmbeddings: !hasTensor('output.weight'),
    ropeLayout: file.ropeLayout ?? found.ropeLayout,
  };
}

/**
 * Number of layers after the others that predict further tokens (llama.cpp's nextn). Only drafts use them; see
 * `draftHeadTensors`. Throws `bad_file`.
 */
export function draftLayers(metadata: GgufMetadata, architecture: string): number {
  if (ARCHITECTURES.get(architecture)?.draftParts === undefined) return 0;
  const key = `${architecture}.nextn_predict_layers`;
  const count = metadata.optionalNumber(key) ?? 0;
  if (Number.isInteger(count) && count >= 0 && count <= MOST.block_count) return count;
  return fail(metadata, key, `must be an integer from 0 to ${MOST.block_count}, but is ${count}`);
}

function readStates(
  { metadata, valueHeads }: ModelHeader,
  found: Architecture,
  numLayers: number,
): Pick<ModelConfig, 'deltaNet' | 'gatesAttention'> {
  const deltaNet = readDeltaNet(metadata, found, numLayers, valueHeads);
  return { ...(deltaNet && { deltaNet }), ...(found.gatesAttention && { gatesAttention: true }) };
}

function readArchitecture(metadata: GgufMetadata): Architecture {
  const name = metadata.string('general.architecture');
  const known = [...ARCHITECTURES.keys()].filter((one) => !ENCODERS.has(one)).join(', ');
  const reason = `architecture ${JSON.stringify(name.slice(0, 40))} is not supported; these are: ${known}`;
  return ARCHITECTURES.get(name) ?? fail(metadata, 'general.architecture', reason, 'unsupported');
}

function checkHeads(
  metadata: GgufMetadata,
  architecture: string,
  sizes: Pick<ModelConfig, 'hiddenSize' | 'numHeads' | 'numKvHeads' | 'headDim'> & { mostHeadDim: number },
): void {
  const { hiddenSize, numHeads, numKvHeads, headDim, mostHeadDim } = sizes;
  const headCount = `${architecture}.attention.head_count`;
  const keyLength = `${architecture}.attention.key_length`;
  if (!metadata.has(keyLength) && hiddenSize % numHeads !== 0) {
    fail(metadata, headCount, `${numHeads} heads do not divide the hidden size ${hiddenSize}`);
  }
  if (numHeads % numKvHeads !== 0) {
    fail(metadata, `${headCount}_kv`, `${numKvHeads} key heads do not divide ${numHeads} query heads`);
  }
  if (headDim % 16 !== 0 || headDim > mostHeadDim) {
    const field = metadata.has(keyLength) ? keyLength : headCount;
    fail(metadata, field, `a head of ${headDim} is not a multiple of 16 up to ${mostHeadDim}`, 'unsupported');
  }
  checkMultiple(metadata, headCount, numHeads * headDim, 32);
  const field = `${architecture}.attention.value_length`;
  const value = metadata.optionalNumber(field) ?? headDim;
  if (value !== headDim) fail(metadata, field, `${value} differs from the head size ${headDim}`, 'unsupported');
}

function checkUnsupportedFeatures(
  metadata: GgufMetadata,
  { name: architecture, window: hasWindow, experts, capsLogits }: Architecture,
  contextLength: number,
): void {
  const count = `${architecture}.expert_count`;
  if (!experts && (metadata.optionalNumber(count) ?? 0) !== 0) {
    fail(metadata, count, `mixtures of experts are not supported in ${architecture} models`, 'unsupported');
  }
  for (const cap of ['attn_logit_softcapping', ...(capsLogits ? [] : ['final_logit_softcapping'])]) {
    const field = `${architecture}.${cap}`;
    if ((metadata.optionalNumber(field) ?? 0) !== 0)
      fail(metadata, field, 'soft caps are not supported', 'unsupported');
  }
  const clamp = `${architecture}.attention.clamp_kqv`;
  if ((metadata.optionalNumber(clamp) ?? 0) !== 0)
    fail(metadata, clamp, 'clamped queries, keys and values are not supported', 'unsupported');
  if (hasWindow) return;
  const window = `${architecture}.attention.sliding_window`;
  const width = metadata.optionalNumber(window) ?? 0;
  if (width !== 0 && width < contextLength) {
    const reason = `sliding-window attention (${width} of ${contextLength} tokens) is not supported`;
    fail(metadata, window, reason, 'unsupported');
  }
}

function readUnrotated(metadata: GgufMetadata, { name, unrotated }: Architecture, numLayers: number): number[] {
  if (!unrotated) return [];
  if ('every' in unrotated) return everyNth(unrotated.every, numLayers);
  return metadata.optionalBoolean(`${name}.${unrotated.unless}`) === false ? everyNth(1, numLayers) : [];
}

/** Sliding-window layers: one flag per layer, or an interval (llama.cpp, set_swa_pattern), or all layers. */
function readWindow(
  metadata: GgufMetadata,
  architecture: Architecture,
  { numLayers, contextLength, ...heads }: Pick<ModelConfig, 'numLayers' | 'contextLength' | 'numHeads' | 'headDim'>,
): { window?: SlidingWindow } {
  const { name, window } = architecture;
  const key = `${name}.attention.sliding_window`;
  if (!window || (metadata.optionalNumber(key) ?? 0) === 0) return {};
  const tokens = readInteger(metadata, key, MOST.context_length);
  const all = Array.from({ length: numLayers }, (_, layer) => layer);
  if (window.allBut === undefined) return tokens < contextLength ? { window: { tokens, layers: all } } : {};
  const pattern = `${key}_pattern`;
  const flags = metadata.get(pattern);
  const ropeTheta = window.ropeTheta && readRange(metadata, `${name}.rope.freq_base_swa`, [1, 1e12], window.ropeTheta);
  const headDim = readWindowHeads(metadata, architecture, heads);
  const own = { ropeTheta, ...(headDim !== undefined && { headDim }) };
  if (Array.isArray(flags)) {
    if (flags.length !== numLayers || flags.some((flag) => typeof flag !== 'boolean'))
      fail(metadata, pattern, `must be a boolean for each of ${numLayers} layers`);
    return { window: { tokens, layers: all.filter((layer) => flags[layer] === true), ...own } };
  }
  const whole = everyNth(readInteger(metadata, pattern, MOST.block_count, window.allBut), numLayers);
  return { window: { tokens, layers: all.filter((layer) => !whole.includes(layer)), ...own } };
}

/** Layers without key heads have a convolution (llama.cpp, src/models/lfm2.cpp); at least one layer attends. */
function readConvolution(
  metadata: GgufMetadata,
  { name, hasConvolutions }: Architecture,
  numLayers: number,
): ShortConvolution | undefined {
  const key = `${name}.attention.head_count_kv`;
  if (!hasConvolutions || !ArrayBuffer.isView(metadata.get(key))) return undefined;
  const heads = metadata.numbers(key);
  if (heads.length !== numLayers) fail(metadata, key, `must be a number for each of ${numLayers} layers`);
  const layers = Array.from({ length: numLayers }, (_, layer) => layer).filter((layer) => heads[layer] === 0);
  if (layers.length === numLayers) fail(metadata, key, 'no layer attends', 'unsupported');
  return layers.length === 0
    ? undefined
    : { taps: readInteger(metadata, `${name}.shortconv.l_cache`, MOST['shortconv.l_cache']), layers };
}

/** Experts of all layers, or of all but the first ones (llama.cpp, src/models/qwen3moe.cpp, lfm2moe.cpp). */
function readExperts(
  metadata: GgufMetadata,
  { name, experts }: Architecture,
  numLayers: number,
): { experts?: Experts } {
  if (!experts) return {};
  const integer = (key: keyof typeof MOST): number => readInteger(metadata, `${name}.${key}`, MOST[key]);
  const [count, used, intermediateSize] = [
    integer('expert_count'),
    integer('expert_used_count'),
    integer(experts.isMlpSized ? 'feed_forward_length' : 'expert_feed_forward_length'),
  ];
  if (used > count)
    fail(metadata, `${name}.expert_used_count`, `a token goes through ${used} experts, but there are ${count}`);
  checkMultiple(metadata, `${name}.expert_feed_forward_length`, intermediateSize, 32);
  const firstLayer = metadata.optionalNumber(`${name}.leading_dense_block_count`) ?? 0;
  if (!Number.isInteger(firstLayer) || firstLayer < 0 || firstLayer >= numLayers)
    fail(
      metadata,
      `${name}.leading_dense_block_count`,
      `must be an integer from 0 to ${numLayers - 1}, but is ${firstLayer}`,
    );
  checkGating(metadata, name, experts);
  return {
    experts: {
      count,
      used,
      intermediateSize,
      firstLayer,
      shares: experts.shares,
      normalizes: metadata.optionalBoolean(`${name}.expert_weights_norm`) ?? experts.normalizes,
    },
  };
}

/** Checks options that files may omit because all such models share them. */
function checkGating(metadata: GgufMetadata, name: string, { shares }: NonNullable<Architecture['experts']>): void {
  const known = { softmax: 1, sigmoid: 2 }[shares]; // llama.cpp, llama_expert_gating_func_type
  const gating = metadata.optionalNumber(`${name}.expert_gating_func`) ?? known;
  if (gating !== known)
    fail(
      metadata,
      `${name}.expert_gating_func`,
      `${gating} is not supported in such a model; ${known} (${shares}) is`,
      'unsupported',
    );
  const scale = metadata.optionalNumber(`${name}.expert_weights_scale`) ?? 1;
  if (scale !== 0 && scale !== 1)
    fail(metadata, `${name}.expert_weights_scale`, `shares times ${scale} are not supported`, 'unsupported');
  if (shares === 'sigmoid' && metadata.optionalBoolean(`${name}.expert_weights_norm`) === false) {
    fail(
      metadata,
      `${name}.expert_weights_norm`,
      'sigmoids that are not divided by their sum are not supported',
      'unsupported',
    );
  }
}

function readMultipliers(
  metadata: GgufMetadata,
  { name, multipliers, scalesEmbeddings, scoresByHidden, attentionScale, capsLogits }: Architecture,
  { numLayers, hiddenSize, numHeads }: Pick<ModelConfig, 'numLayers' | 'hiddenSize' | 'numHeads'>,
): Pick<ModelConfig, Multiplier | 'logitCap'> {
  const read = (multiplier: Multiplier): number | undefined => {
    const names = multipliers?.[multiplier];
    const key = `${name}.${names?.gguf}`;
    if (!names || (metadata.optionalNumber(key) ?? 0) === 0) return undefined; // 0 means none
    return readRange(metadata, key, [1e-6, 1e6]);
  };
  const cap = `${name}.final_logit_softcapping`;
  return {
    ...(capsLogits && (metadata.optionalNumber(cap) ?? 0) !== 0 && { logitCap: readRange(metadata, cap, [1e-6, 1e6]) }),
    attentionScale:
      read('attentionScale') ??
      attentionScale ??
      (numLayers === scoresByHidden ? Math.sqrt(numHeads / hiddenSize) : undefined),
    embeddingScale: read('embeddingScale') ?? (scalesEmbeddings ? Math.sqrt(hiddenSize) : 1),
    residualScale: read('residualScale') ?? 1,
    logitDivisor: read('logitDivisor') ?? 1,
  };
}

/** llama.cpp uses the length of the token list; `vocab_size` replaces a missing list. */
export function readVocabSize(metadata: GgufMetadata, architecture: string): number {
  const list = 'tokenizer.ggml.tokens';
  if (!metadata.has(list)) return readInteger(metadata, `${architecture}.vocab_size`, MOST_TOKENS);
  const size = metadata.strings(list).length;
  return size >= 1 && size <= MOST_TOKENS
    ? size
    : fail(metadata, list, `${size} tokens; 1 to ${MOST_TOKENS} are allowed`);
}
