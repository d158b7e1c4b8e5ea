import type { GgufValue } from './gguf-metadata.ts';
import type { JsonFields } from './json-file.ts';
import { MOST } from './model-config.ts';

/** transformers' `model_type` to the architecture that runs it; Mistral's is Llama's but for a window of attention. */
const ARCHITECTURES: Record<string, string> = { llama: 'llama', mistral: 'llama', qwen2: 'qwen2', qwen3: 'qwen3' };

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

/**
 * A transformers model's `config.json` as the metadata that a GGUF file of the model would have, which
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
  const activation = config.optional('hidden_act', (key) => config.string(key)) ?? 'silu';
  if (activation !== 'silu') config.fail('hidden_act', `${JSON.stringify(activation.slice(0, 40))} is not supported; silu is`, 'unsupported');

  const values = new Map<string, GgufValue>([['general.architecture', architecture]]);
  const name = config.optional('_name_or_path', (key) => config.string(key)) ?? /([^/]+)\/resolve\//.exec(config.file)?.[1];
  if (name) values.set('general.name', name);
  const set = (key: string, field: string): void => {
    // Refused here they have the name that they have in this file.
    const value = Object.hasOwn(MOST, key) ? config.size(field, MOST[key as keyof typeof MOST]) : config.number(field);
    values.set(`${architecture}.${key}`, value);
  };
  for (const [key, field] of Object.entries(SIZES)) set(key, field);
  for (const [key, field] of Object.entries(OPTIONAL_SIZES)) if (config.has(field)) set(key, field);
  // Qwen's configs name a window that their models do not use.
  const hasWindow = config.has('sliding_window') && (type === 'mistral' || config.values['use_sliding_window'] === true);
  if (hasWindow) values.set(`${architecture}.attention.sliding_window`, config.number('sliding_window'));
  addRope(config, architecture, values);
  return values;
}

function addRope(config: JsonFields, architecture: string, values: Map<string, GgufValue>): void {
  const theta = (config.has('rope_theta') ? config : ropeOf(config))?.optional('rope_theta', (key) => config.has(key) ? config.number(key) : ropeOf(config)?.number(key));
  if (theta !== undefined) values.set(`${architecture}.rope.freq_base`, theta);
  const rope = ropeOf(config);
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
  const theta = config.has('rope_theta') ? config.number('rope_theta') : rope.number('rope_theta');
  const headDim = config.optional('head_dim', (key) => config.number(key)) ?? config.number('hidden_size') / config.number('num_attention_heads');
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
