import type { GgufValue } from '../gguf/gguf-metadata.ts';
import type { JsonFields } from './json-file.ts';
import { MOST } from '../model-config.ts';

/** transformers' `model_type` to the architecture that runs it; Mistral's is Llama's but for a window of attention. */
const ARCHITECTURES: Record<string, string> = { llama: 'llama', mistral: 'llama', qwen2: 'qwen2', qwen3: 'qwen3' };

/**
 * What transformers takes for keys that a config.json lacks (configuration_llama.py and its like, version 5), but for the
 * sizes: a guess at those would only be refused by the tensors' shapes.
 */
const DEFAULTS: Record<string, Readonly<Record<string, unknown>>> = {
  llama: { max_position_embeddings: 2048 },
  mistral: { max_position_embeddings: 131_072, num_key_value_heads: 8, sliding_window: 4096 },
  qwen2: { max_position_embeddings: 32_768, num_key_value_heads: 32, sliding_window: 4096, max_window_layers: 28 },
  qwen3: { max_position_embeddings: 32_768, num_key_value_heads: 32, head_dim: 128, sliding_window: 4096, max_window_layers: 28 },
};
const COMMON_DEFAULTS = { rms_norm_eps: 1e-6, hidden_act: 'silu', tie_word_embeddings: false };
const DEFAULT_ROPE_THETA = 10_000;

/** Names of x · sigmoid(x) in transformers (activations.py, ACT2FN). */
const SILU = ['silu', 'swish'];

/** GGUF's keys, behind the architecture's name, and what transformers calls them. */
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

/** A model's `config.json` as transformers reads it: with its class's defaults. Throws `bad_file` without `model_type`. */
export function withConfigDefaults(config: JsonFields): JsonFields {
  const type = config.string('model_type');
  return config.withDefaults({ ...COMMON_DEFAULTS, ...(Object.hasOwn(DEFAULTS, type) && DEFAULTS[type]) });
}

/**
 * A transformers model's `config.json`, with its defaults, as the metadata that a GGUF file of the model would have, which
 * `readModelConfig` reads. Throws `bad_file` for a field that is missing or of another type, `unsupported` for what this
 * runtime does not run, naming the field.
 */
export function configMetadata(config: JsonFields): Map<string, GgufValue> {
  const type = config.string('model_type');
  const architecture = Object.hasOwn(ARCHITECTURES, type) ? ARCHITECTURES[type] : undefined;
  if (architecture === undefined) {
    return config.fail('model_type', `${JSON.stringify(type.slice(0, 40))} is not supported; these are: ${Object.keys(ARCHITECTURES).join(', ')}`, 'unsupported');
  }
  if (config.has('quantization_config')) config.fail('quantization_config', 'quantised safetensors are not read; F32, F16 and BF16 are', 'unsupported');
  const activation = config.string('hidden_act');
  if (!SILU.includes(activation)) config.fail('hidden_act', `${JSON.stringify(activation.slice(0, 40))} is not supported; silu is`, 'unsupported');

  const values = new Map<string, GgufValue>([['general.architecture', architecture]]);
  const name = config.optional('_name_or_path', (key) => config.string(key)) || /([^/]+)\/resolve\//.exec(config.file)?.[1];
  if (name) values.set('general.name', name);
  const set = (key: string, field: string): void => {
    // Refused here they have the name that they have in this file.
    const value = Object.hasOwn(MOST, key) ? config.size(field, MOST[key as keyof typeof MOST]) : config.number(field);
    values.set(`${architecture}.${key}`, value);
  };
  for (const [key, field] of Object.entries(SIZES)) set(key, field);
  for (const [key, field] of Object.entries(OPTIONAL_SIZES)) if (config.has(field)) set(key, field);
  if (config.has('sliding_window') && (type === 'mistral' || usesWindow(config))) values.set(`${architecture}.attention.sliding_window`, config.number('sliding_window'));
  addRope(config, architecture, values);
  return values;
}

/** Qwen's configs name a window that their models do not use, or only in layers that they do not have. */
function usesWindow(config: JsonFields): boolean {
  if (config.values['use_sliding_window'] !== true) return false;
  const types = config.optional('layer_types', (key) => config.list(key));
  return types ? types.includes('sliding_attention') : config.number('max_window_layers') < config.number('num_hidden_layers');
}

function addRope(config: JsonFields, architecture: string, values: Map<string, GgufValue>): void {
  values.set(`${architecture}.rope.freq_base`, ropeTheta(config));
  const rope = ropeOf(config);
  const share = [config, rope].find((fields) => fields?.has('partial_rotary_factor'));
  if (share && share.number('partial_rotary_factor') !== 1) share.fail('partial_rotary_factor', 'heads that are rotated in part are not supported', 'unsupported');
  const type = rope && ropeType(rope);
  if (rope && type === 'linear') {
    values.set(`${architecture}.rope.scaling.type`, 'linear');
    values.set(`${architecture}.rope.scaling.factor`, rope.number('factor'));
  } else if (rope && type !== 'default' && type !== 'llama3') {
    rope.fail('rope_type', `${JSON.stringify(type?.slice(0, 40))} is not supported; default, linear and llama3 are`, 'unsupported');
  }
}

/** Before version 5 of transformers it was called `rope_scaling`, and its type `type` before version 4.45. */
function ropeOf(config: JsonFields): JsonFields | undefined {
  return config.optional('rope_parameters', (key) => config.fields(key)) ?? config.optional('rope_scaling', (key) => config.fields(key));
}

function ropeTheta(config: JsonFields): number {
  const place = [config, ropeOf(config)].find((fields) => fields?.has('rope_theta'));
  return place?.number('rope_theta') ?? DEFAULT_ROPE_THETA;
}

const ropeType = (rope: JsonFields): string =>
  rope.optional('rope_type', (key) => rope.string(key)) ?? rope.optional('type', (key) => rope.string(key)) ?? 'default';

/**
 * Divisors of the frequencies of a Llama 3 model, `[headDim / 2]`, which GGUF files have as `rope_freqs.weight`
 * (transformers, modeling_rope_utils.py, _compute_llama3_parameters); undefined for other models.
 */
export function llama3Divisors(config: JsonFields): Float32Array | undefined {
  const rope = ropeOf(config);
  if (!rope || ropeType(rope) !== 'llama3') return undefined;
  const [factor, low, high, context] = ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'].map((key) => rope.positive(key)) as [number, number, number, number];
  const theta = ropeTheta(config);
  const headDim = config.optional('head_dim', (key) => config.number(key)) ?? config.number('hidden_size') / config.number('num_attention_heads');
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
