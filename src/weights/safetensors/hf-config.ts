import { type Architecture, everyNth, type ModelType } from '../../architectures/architecture.ts';
import { ARCHITECTURES, MODEL_TYPES } from '../../architectures/registry.ts';
import { type Activation, ACTIVATIONS } from '../../config/activations.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import type { JsonFields } from './json-file.ts';
import { addRope, ropeType } from './hf-rope.ts';
import { MOST_DELTA } from '../layer-config.ts';
import { addLayerSizes } from './hf-layer-sizes.ts';
import { MOST } from '../model-config.ts';
import type { TensorInfo } from '../tensor-info.ts';

/** transformers' defaults for missing keys of any model. */
const COMMON_DEFAULTS = { rms_norm_eps: 1e-6, tie_word_embeddings: false };
const DEFAULT_ACTIVATION = 'silu';
/** Least bytes of an embedding row: 32 halves. */
const MIN_ROW_BYTES = 64;

/** GGUF's keys after the architecture's name, and transformers' names. */
const SIZES = {
  block_count: 'num_hidden_layers',
  embedding_length: 'hidden_size',
  feed_forward_length: 'intermediate_size',
  context_length: 'max_position_embeddings',
  'attention.head_count': 'num_attention_heads',
  'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
} as const;

const OPTIONAL_SIZES = {
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'attention.value_length': 'head_dim',
} as const;

/**
 * A model's `config.json` with the defaults of its class, as transformers reads it. Throws `bad_file` without
 * `model_type`.
 */
export function withConfigDefaults(config: JsonFields): JsonFields {
  const known = MODEL_TYPES.get(config.string('model_type'));
  if (!known?.textConfig) return config.withDefaults({ ...COMMON_DEFAULTS, ...known?.defaults });
  const outer = { ...config.values, model_type: `${config.string('model_type')}_text` };
  return withConfigDefaults(config.fields(known.textConfig).withDefaults(outer));
}

/**
 * Converts a `config.json` with its defaults to GGUF metadata for `readModelConfig`. Throws `bad_file` for a missing
 * field or one of another type, `unsupported` for a feature that this runtime lacks, naming the field.
 */
export function configMetadata(config: JsonFields): Map<string, GgufValue> {
  const { architecture, window, keys = {} } = modelTypeOf(config);
  if (config.has('quantization_config'))
    config.fail('quantization_config', 'quantized safetensors are not read; F32, F16 and BF16 are', 'unsupported');
  checkActivation(config, architecture.activation);
  checkUnsupported(config, architecture);

  const values = new Map<string, GgufValue>([['general.architecture', architecture.name]]);
  const name =
    config.optional('_name_or_path', (key) => config.string(key)) || /([^/]+)\/resolve\//.exec(config.file)?.[1];
  if (name) values.set('general.name', name);
  const set = (key: string, value: GgufValue): void => {
    values.set(`${architecture.name}.${key}`, value);
  };
  const setNumber = (key: string, common: string): void => {
    const field = ownKey(config, keys, common);
    // Checked here so that errors use this file's field names.
    set(key, Object.hasOwn(MOST, key) ? config.size(field, MOST[key as keyof typeof MOST]) : config.number(field));
  };
  for (const [key, field] of Object.entries(SIZES))
    if (key !== 'feed_forward_length' || !architecture.hasConvolutions) setNumber(key, field);
  for (const [key, field] of Object.entries(OPTIONAL_SIZES)) if (config.has(field)) setNumber(key, field);
  for (const names of Object.values(architecture.multipliers ?? {}))
    if (config.has(names.config)) set(names.gguf, config.positive(names.config) ** (names.power ?? 1));
  if (usesWindow(config, window) && config.has('sliding_window'))
    setNumber('attention.sliding_window', 'sliding_window');
  if (window === 'by layer') addWindow(config, architecture, set);
  if (architecture.hasConvolutions) addConvolutions(config, set);
  if (architecture.hasDeltaNets) addDeltaNets(config, set);
  if (architecture.experts) addExperts(config, architecture.experts, setNumber, set);
  if (architecture.hasPerLayerInputs) addLayerSizes(config, set);
  addRope(config, architecture, set);
  return values;
}

/** A config's name for a key that others call `common`. */
const ownKey = (config: JsonFields, keys: NonNullable<ModelType['keys']>, common: string): string => {
  const own = keys[common];
  return own !== undefined && config.has(own) ? own : common;
};

/** Whether the output matrix is the embedding matrix. */
export const tiesEmbeddings = (config: JsonFields): boolean =>
  config.values[ownKey(config, modelTypeOf(config).keys ?? {}, 'tie_word_embeddings')] === true;

/** Each token needs memory, so vocab_size may not exceed the rows of the embeddings. */
export function checkVocabSize(config: JsonFields, embeddings: TensorInfo | undefined): void {
  const vocabSize = config.number('vocab_size');
  const rows = embeddings ? Math.min(embeddings.shape[0] ?? 0, embeddings.bytes / MIN_ROW_BYTES) : 0;
  if (vocabSize <= rows) return;
  config.fail(
    'vocab_size',
    `is ${vocabSize}, but the embeddings are ${embeddings ? `[${embeddings.shape.join(', ')}]` : 'missing'}`,
  );
}

function modelTypeOf(config: JsonFields) {
  const type = config.string('model_type');
  const known = [...MODEL_TYPES.keys()].join(', ');
  const found =
    MODEL_TYPES.get(type) ??
    config.fail(
      'model_type',
      `${JSON.stringify(type.slice(0, 40))} is not supported; these are: ${known}`,
      'unsupported',
    );
  if (!seesLater(config)) return found;
  const architecture =
    ARCHITECTURES.get(found.bidirectional ?? '') ??
    config.fail(BIDIRECTIONAL, 'attention to later tokens is not supported', 'unsupported');
  return { ...found, architecture };
}

const BIDIRECTIONAL = 'use_bidirectional_attention';

/** Whether tokens attend to later ones. Gemma 4's configs use `all` for it; `vision` means images only. */
const seesLater = ({ values }: JsonFields): boolean =>
  values[BIDIRECTIONAL] === true || values[BIDIRECTIONAL] === 'all';

/** Whether a `config.json` describes an encoder made of decoder layers. */
export const isBidirectional = (config: JsonFields): boolean =>
  seesLater(config) && MODEL_TYPES.get(String(config.values['model_type']))?.bidirectional !== undefined;

function checkActivation(config: JsonFields, wanted: Activation): void {
  const field = config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act';
  const activation = config.optional(field, (key) => config.string(key)) ?? DEFAULT_ACTIVATION;
  if (ACTIVATIONS[wanted].names.includes(activation)) return;
  config.fail(field, `${JSON.stringify(activation.slice(0, 40))} is not supported; ${wanted} is`, 'unsupported');
}

/** Options that would change every answer and that no released model of these types uses. */
function checkUnsupported(config: JsonFields, { capsLogits }: Architecture): void {
  for (const field of ['attn_logit_softcapping', ...(capsLogits ? [] : ['final_logit_softcapping'])]) {
    if (config.has(field)) config.fail(field, 'soft caps are not supported', 'unsupported');
  }
  if (config.has('clip_qkv'))
    config.fail('clip_qkv', 'clamped queries, keys and values are not supported', 'unsupported');
}

/** Sliding-window layers, one flag each, and their rotation (configuration_gemma3.py). */
function addWindow(
  config: JsonFields,
  { window, hasPerLayerInputs }: Architecture,
  set: (key: string, value: GgufValue) => void,
): void {
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  const types = layerTypes(config, numLayers, ['sliding_attention', 'full_attention']);
  const every =
    config.optional('sliding_window_pattern', (key) => config.size(key, MOST.block_count)) ?? window?.allBut ?? 1;
  const whole = everyNth(every, numLayers);
  const flags = Array.from({ length: numLayers }, (_, layer) =>
    types ? types[layer] === 'sliding_attention' : !whole.includes(layer),
  );
  if (hasPerLayerInputs && flags.at(-1))
    config.fail('layer_types', 'the last layer must be full_attention, as in transformers', 'unsupported');
  if (flags.includes(true)) config.size('sliding_window', MOST.context_length);
  set('attention.sliding_window_pattern', flags);
  const rope = config.optional('rope_parameters', (key) => config.fields(key));
  const others = Object.keys(rope?.values ?? {}).filter((key) => !key.endsWith('_attention') && rope?.has(key));
  if (rope && others[0] !== undefined)
    rope.fail(
      others[0],
      'this model needs a full_attention and a sliding_attention entry: its layers have two rotations',
      'unsupported',
    );
  const own = rope?.optional('sliding_attention', (key) => rope.fields(key));
  if (own && ropeType(own) !== 'default')
    own.fail('rope_type', 'sliding-window layers must have no RoPE scaling', 'unsupported');
  const theta =
    own?.optional('rope_theta', (key) => own.number(key)) ??
    config.optional('rope_local_base_freq', (key) => config.number(key));
  if (theta !== undefined) set('rope.freq_base_swa', theta);
}

/**
 * Number of experts and experts per token (configuration_qwen3_moe.py, configuration_lfm2_moe.py,
 * configuration_olmoe.py).
 */
function addExperts(
  config: JsonFields,
  { isMlpSized }: NonNullable<Architecture['experts']>,
  setNumber: (key: string, common: string) => void,
  set: (key: string, value: GgufValue) => void,
): void {
  const dense = config.optional('mlp_only_layers', (key) => config.list(key)) ?? [];
  if (dense.length > 0)
    config.fail('mlp_only_layers', 'layers without experts are not supported in such a model', 'unsupported');
  if (config.has('decoder_sparse_step') && config.number('decoder_sparse_step') !== 1)
    config.fail('decoder_sparse_step', 'layers without experts are not supported in such a model', 'unsupported');
  setNumber('expert_count', 'num_experts');
  setNumber('expert_used_count', 'num_experts_per_tok');
  if (!isMlpSized) setNumber('expert_feed_forward_length', 'moe_intermediate_size');
  if (config.has('use_expert_bias') && config.values['use_expert_bias'] !== true)
    config.fail('use_expert_bias', 'such a model without biases of its experts is not supported', 'unsupported');
  if (config.has('num_dense_layers')) set('leading_dense_block_count', config.number('num_dense_layers'));
  if (config.has('routed_scaling_factor')) set('expert_weights_scale', config.number('routed_scaling_factor'));
  set('expert_weights_norm', config.values['norm_topk_prob'] === true);
}

/** Kind of each layer, if the config lists them. */
function layerTypes(config: JsonFields, numLayers: number, known: readonly string[]): readonly unknown[] | undefined {
  const types = config.optional('layer_types', (key) => config.list(key));
  if (types && (types.length !== numLayers || types.some((type) => !known.includes(type as string))))
    config.fail('layer_types', `must be ${known.join(' or ')} for each of ${numLayers} layers`);
  return types;
}

/** Convolution layers and the resulting MLP width (configuration_lfm2.py; modeling_lfm2.py, Lfm2MLP). */
function addConvolutions(config: JsonFields, set: (key: string, value: GgufValue) => void): void {
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  if (config.values['conv_bias'] === true)
    config.fail('conv_bias', 'biases of convolutions are not supported', 'unsupported');
  const types = layerTypes(config, numLayers, ['conv', 'full_attention']);
  const listed = config.optional('full_attn_idxs', (key) => config.list(key)); // older configs
  const attends = Array.from({ length: numLayers }, (_, layer) =>
    types ? types[layer] === 'full_attention' : (listed?.includes(layer) ?? true),
  );
  if (!attends.includes(true)) config.fail(types ? 'layer_types' : 'full_attn_idxs', 'no layer attends', 'unsupported');
  const numKvHeads = config.size('num_key_value_heads', MOST['attention.head_count_kv']);
  set(
    'attention.head_count_kv',
    Int32Array.from(attends, (each) => (each ? numKvHeads : 0)),
  );
  set('shortconv.l_cache', config.size('conv_L_cache', MOST['shortconv.l_cache']));
  set('feed_forward_length', feedForward(config));
}

/** Lfm2MLP's width. */
function feedForward(config: JsonFields): number {
  const whole = config.size(
    config.has('block_ff_dim') ? 'block_ff_dim' : 'intermediate_size',
    MOST.feed_forward_length,
  );
  if (config.values['block_auto_adjust_ff_dim'] !== true) return whole;
  const part = Math.trunc((2 * whole) / 3);
  if (!config.has('block_ffn_dim_multiplier')) return part;
  const multiple = config.size('block_multiple_of', MOST.feed_forward_length);
  return multiple * Math.ceil(Math.trunc(config.positive('block_ffn_dim_multiplier') * part) / multiple);
}

/** Delta net layers and their sizes (configuration_qwen3_5.py). */
function addDeltaNets(config: JsonFields, set: (key: string, value: GgufValue) => void): void {
  const size = (key: keyof typeof MOST_DELTA, field: string): number => {
    const value = config.size(field, MOST_DELTA[key]);
    set(key, value);
    return value;
  };
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  const types = layerTypes(config, numLayers, ['linear_attention', 'full_attention']);
  const attending = everyNth(config.size('full_attention_interval', MOST.block_count), numLayers);
  set(
    'attention.recurrent_layers',
    Array.from({ length: numLayers }, (_, layer) =>
      types ? types[layer] === 'linear_attention' : !attending.includes(layer),
    ),
  );
  const headDim = size('ssm.state_size', 'linear_key_head_dim');
  if (config.number('linear_value_head_dim') !== headDim)
    config.fail('linear_value_head_dim', `value heads must have the size of key heads, ${headDim}`, 'unsupported');
  size('ssm.conv_kernel', 'linear_conv_kernel_dim');
  size('ssm.group_count', 'linear_num_key_heads');
  set('ssm.inner_size', headDim * size('ssm.time_step_rank', 'linear_num_value_heads'));
}

/** Some configs name a window that their models do not use, or only in layers that they lack. */
function usesWindow(config: JsonFields, window: ModelType['window']): boolean {
  if (window !== 'where used') return window !== undefined;
  const isUsed = config.values['use_sliding_window'] === true;
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  const types = layerTypes(config, numLayers, ['sliding_attention', 'full_attention']);
  if (types?.includes('sliding_attention')) {
    // SmolLM3 uses the window anyway; Qwen cannot run with such a config (modeling_smollm3.py, configuration_qwen2.py).
    if (!isUsed)
      config.fail('use_sliding_window', 'is not true, but layer_types has sliding-window layers', 'unsupported');
    config.size('sliding_window', MOST.context_length);
    return true;
  }
  if (types || !isUsed) return false;
  return !config.has('max_window_layers') || config.number('max_window_layers') < config.number('num_hidden_layers');
}

/** Layers without rotation by the config.json; undefined if it lists none. */
export function unrotatedLayers(config: JsonFields): number[] | undefined {
  const { unrotated } = modelTypeOf(config).architecture;
  if (!unrotated || !('every' in unrotated)) return undefined;
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  const listed = config.optional('no_rope_layers', (key) => config.list(key)); // 1 marks a rotated layer
  if (!listed)
    return everyNth(
      config.optional('no_rope_layer_interval', (key) => config.size(key, MOST.block_count)) ?? unrotated.every,
      numLayers,
    );
  if (listed.length < numLayers || listed.some((flag) => flag !== 0 && flag !== 1))
    config.fail('no_rope_layers', `must be 0 or 1 for each of ${numLayers} layers`);
  return Array.from({ length: numLayers }, (_, layer) => layer).filter((layer) => listed[layer] === 0);
}
