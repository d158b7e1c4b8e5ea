import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { MOST_OF_LAYERS } from '../layer-config.ts';
import { MOST } from '../model-config.ts';
import type { JsonFields } from './json-file.ts';

/**
 * Per-layer sizes of Gemma 4 (configuration_gemma4.py) under GGUF's keys. Throws `unsupported` for features of the
 * larger models.
 */
export function addLayerSizes(config: JsonFields, set: (key: string, value: GgufValue) => void): void {
  if (config.values['enable_moe_block'] === true)
    config.fail('enable_moe_block', 'mixtures of experts are not supported', 'unsupported');
  if (config.values['attention_k_eq_v'] === true)
    config.fail('attention_k_eq_v', 'shared key and value projections are not supported', 'unsupported');
  const vocabSize =
    config.optional('vocab_size_per_layer_input', (key) => config.number(key)) ?? config.number('vocab_size');
  if (vocabSize !== config.number('vocab_size'))
    config.fail(
      'vocab_size_per_layer_input',
      `${vocabSize} differs from vocab_size, ${config.number('vocab_size')}`,
      'unsupported',
    );
  if (config.number('hidden_size_per_layer_input') === 0)
    config.fail(
      'hidden_size_per_layer_input',
      'a model without per-layer embeddings is not supported; E2B and E4B are',
      'unsupported',
    );
  set(
    'embedding_length_per_layer_input',
    config.size('hidden_size_per_layer_input', MOST_OF_LAYERS.embedding_length_per_layer_input),
  );
  const whole = wholeHeadDim(config);
  set('attention.key_length', whole);
  set('attention.value_length', whole);
  set('attention.key_length_swa', config.size('head_dim', whole));
  if (config.has('final_logit_softcapping')) set('final_logit_softcapping', config.positive('final_logit_softcapping'));
  const numLayers = config.size('num_hidden_layers', MOST.block_count);
  const shared = config.number('num_kv_shared_layers') === 0 ? 0 : config.size('num_kv_shared_layers', numLayers);
  set('attention.shared_kv_layers', shared);
  if (config.values['use_double_wide_mlp'] !== true) return;
  const width = config.size('intermediate_size', MOST.feed_forward_length);
  set(
    'feed_forward_length',
    Int32Array.from({ length: numLayers }, (_, layer) => (layer < numLayers - shared ? width : 2 * width)),
  );
}

/** Head size of layers with full attention: from Google's config.json, or from transformers' since version 5.10. */
export function wholeHeadDim(config: JsonFields): number {
  const most = MOST_OF_LAYERS['attention.key_length'];
  const listed = config.optional('per_layer_config', (key) => config.fields(key));
  if (!listed) return config.size('global_head_dim', most);
  const types = config.list('layer_types');
  const sizes = types.flatMap((type, layer) => {
    const own = listed.optional(String(layer), (key) => listed.fields(key));
    if (own && Object.keys(own.values).some((key) => key !== 'head_dim'))
      listed.fail(String(layer), 'layers may differ in head size only', 'unsupported');
    const size = own ? own.size('head_dim', most) : config.size('head_dim', most);
    return type === 'full_attention'
      ? [size]
      : size === config.number('head_dim')
        ? []
        : listed.fail(String(layer), 'sliding-window layers must have equal heads', 'unsupported');
  });
  const [first = 0] = sizes;
  return sizes.every((size) => size === first)
    ? first
    : config.fail('per_layer_config', 'full-attention layers must have equal heads', 'unsupported');
}
