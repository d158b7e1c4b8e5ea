import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { f32, type MetadataValue } from '../support/models/gguf-writer.ts';
import type { Random } from '../support/random.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { FILE_CODES, type FuzzCase, type FuzzKind } from './kind.ts';
import { loadModel } from './load-model.ts';
import { mutateBytes, pick } from './mutate.ts';

const SIZES = { seed: 1, numLayers: 1, hiddenSize: 64, intermediateSize: 64, numHeads: 4, numKvHeads: 2 };
const MODELS: readonly TinyModelOptions[] = [
  { ...SIZES, architecture: 'llama', type: 'F32', ropeFreqs: true, tied: false },
  { ...SIZES, architecture: 'llama', type: 'Q4_1', tokenizer: 'llama', ropeLinearScale: 2 },
  { ...SIZES, architecture: 'qwen2', type: 'Q8_0' },
  { ...SIZES, architecture: 'qwen3', type: 'F16' },
  { ...SIZES, architecture: 'granite', type: 'Q5_0' },
  { ...SIZES, architecture: 'smollm3', type: 'BF16', numLayers: 4 },
  { ...SIZES, architecture: 'gemma3', type: 'Q8_0', numLayers: 6 },
  { ...SIZES, architecture: 'gemma-embedding', type: 'Q8_0', numLayers: 6, tokenizer: 'llama' },
  {
    ...SIZES,
    architecture: 'phi3',
    type: 'Q4_0',
    headDim: 32,
    numHeads: 2,
    numKvHeads: 1,
    rotaryDim: 24,
    shortContext: 64,
  },
  {
    ...SIZES,
    architecture: 'mistral3',
    type: 'Q8_0',
    metadata: {
      'mistral3.rope.scaling.type': 'yarn',
      'mistral3.rope.scaling.factor': f32(4),
      'mistral3.attention.temperature_scale': f32(0.1),
    },
  },
  { ...SIZES, architecture: 'lfm2', type: 'Q8_0', numLayers: 3 },
  { ...SIZES, architecture: 'qwen35', type: 'Q8_0', numLayers: 2, attending: [1], headDim: 32, rotaryDim: 16 },
  { ...SIZES, architecture: 'qwen3moe', type: 'Q8_0', experts: { count: 3, used: 2, intermediateSize: 32 } },
  {
    ...SIZES,
    architecture: 'lfm2moe',
    type: 'Q4_0',
    numLayers: 3,
    experts: { count: 3, used: 2, intermediateSize: 32 },
  },
  { ...SIZES, architecture: 'olmoe', type: 'Q8_0', experts: { count: 3, used: 2, intermediateSize: 32 } },
  { ...SIZES, architecture: 'gemma4', type: 'Q8_0', numLayers: 6, shared: 3, headDim: 32 },
  { ...SIZES, architecture: 'llama', type: 'Q6_K', hiddenSize: 256, intermediateSize: 256, embeddingType: 'Q5_K' },
];

const KEYS = [
  ...[
    'block_count',
    'context_length',
    'embedding_length',
    'feed_forward_length',
    'attention.head_count',
    'attention.head_count_kv',
  ],
  ...[
    'attention.key_length',
    'attention.value_length',
    'attention.layer_norm_rms_epsilon',
    'rope.freq_base',
    'rope.dimension_count',
  ],
  ...[
    'rope.scaling.type',
    'rope.scaling.factor',
    'rope.scale_linear',
    'vocab_size',
    'expert_count',
    'expert_used_count',
    'expert_feed_forward_length',
    'expert_weights_norm',
    'expert_gating_func',
    'expert_weights_scale',
    'leading_dense_block_count',
    'attention.sliding_window',
  ],
  ...['attention.sliding_window_pattern', 'rope.freq_base_swa', 'final_logit_softcapping', 'shortconv.l_cache'],
  ...['attention.scale', 'embedding_scale', 'residual_scale', 'logit_scale', 'rope.scaling.finetuned'],
  ...[
    'original_context_length',
    'attn_factor',
    'yarn_ext_factor',
    'yarn_attn_factor',
    'yarn_beta_fast',
    'yarn_beta_slow',
    'yarn_log_multiplier',
  ].map((key) => `rope.scaling.${key}`),
  ...['conv_kernel', 'state_size', 'group_count', 'time_step_rank', 'inner_size'].map((key) => `ssm.${key}`),
  ...[
    'attention.shared_kv_layers',
    'attention.key_length_swa',
    'attention.value_length_swa',
    'rope.dimension_count_swa',
    'embedding_length_per_layer_input',
  ],
  ...[
    'attention.causal',
    'pooling_type',
    'attention.temperature_scale',
    'attention.recurrent_layers',
    'full_attention_interval',
    'nextn_predict_layers',
  ],
];
const OTHER_KEYS = [
  ...['general.architecture', 'general.alignment', 'general.name', 'split.count', 'split.no', 'split.tensors.count'],
  ...[
    'model',
    'pre',
    'tokens',
    'scores',
    'token_type',
    'merges',
    'bos_token_id',
    'eos_token_id',
    'eot_token_id',
    'eom_token_id',
  ].map((key) => `tokenizer.ggml.${key}`),
  ...['unknown_token_id', 'add_bos_token', 'add_eos_token', 'add_space_prefix'].map((key) => `tokenizer.ggml.${key}`),
  'tokenizer.chat_template',
];

const many = (count: number, text: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => text(i));
const VALUES: readonly MetadataValue[] = [
  ...[0, 1, 7, 32, 50_000_000, 4_294_967_295, f32(0), f32(-1), f32(NaN), f32(Infinity), f32(1e-45), f32(1e30)],
  ...([
    { type: 'u64', value: 2n ** 53n },
    { type: 'i64', value: -1n },
    { type: 'f64', value: 1e300 },
    { type: 'f64', value: 5e-324 },
  ] as const),
  ...[
    true,
    false,
    '',
    'llama',
    'gpt2',
    'none',
    'yarn',
    '\0',
    '{{ messages }}',
    '{% for',
    'x'.repeat(20_000),
    '('.repeat(20_000),
  ],
  ...[
    [],
    ['a'],
    ['a', 'a'],
    ['a b', 'b'],
    ['<|im_end|>'],
    many(3000, (i) => `t${i}`),
    many(300, (i) => 'a'.repeat(i)),
    ['a'.repeat(5_000_00)],
  ],
  ...[
    new Float32Array(273),
    new Float32Array(273).fill(NaN),
    Int32Array.from({ length: 273 }, (_, i) => i % 8),
    new Int32Array(273).fill(4),
    new Float32Array(325).fill(Infinity),
  ],
  ...[new Uint8Array(0), BigUint64Array.of(2n ** 60n), Float64Array.of(1e300), [true, false]],
];

/** A token list that differs from the model's in one token. */
function otherTokens(random: Random, count: number): string[] {
  const tokens = many(count, (i) => `token ${i}`);
  tokens[random.below(count)] = pick(
    ['', 'token 1', 'a'.repeat(5000), '▁'.repeat(4000), '<|im_end|>', '(', '\ud800', '<0x00>'],
    random,
  );
  return tokens;
}

export interface Base {
  options: TinyModelOptions;
  bytes: Uint8Array;
  headerBytes: number;
}

const load = async (bytes: Uint8Array): Promise<void> =>
  loadModel(await openGguf([new BytesSource('mutated.gguf', bytes)]));

export function mutatedModel({ options, bytes, headerBytes }: Base, random: Random): [what: string, bytes: Uint8Array] {
  const kind = random.below(10);
  if (kind < 3) return mutateBytes(bytes, 0, headerBytes, random);
  // The start holds the counts, the end the tensor descriptions.
  if (kind === 3) return mutateBytes(bytes, 0, 1200, random);
  if (kind === 4) return mutateBytes(bytes, headerBytes - 1600, headerBytes, random);
  if (kind === 5) return mutateBytes(bytes, headerBytes, bytes.length, random);
  const key = random.below(2) === 0 ? `${options.architecture}.${pick(KEYS, random)}` : pick(OTHER_KEYS, random);
  const isTokens = key === 'tokenizer.ggml.tokens' && random.below(2) === 0;
  const value = isTokens ? otherTokens(random, options.tokenizer === 'llama' ? 325 : 273) : pick(VALUES, random);
  const shown = JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part)).slice(
    0,
    60,
  );
  return [`${key} = ${shown}`, tinyModel({ ...options, metadata: { [key]: value } })];
}

/** Valid models to mutate. */
export async function ggufBases(): Promise<Base[]> {
  const bases: Base[] = [];
  for (const options of MODELS) {
    const bytes = tinyModel(options);
    const { tensors } = await openGguf([new BytesSource('whole.gguf', bytes)]);
    bases.push({ options, bytes, headerBytes: Math.min(...tensors.map(({ offset }) => offset)) });
  }
  return bases;
}

/** Model files with damaged bytes, and valid files with unusual values. */
export const ggufModels: FuzzKind = {
  codes: FILE_CODES,
  async open() {
    const bases = await ggufBases();
    for (const { bytes } of bases) await load(bytes);
    return (random): FuzzCase => {
      const base = pick(bases, random);
      const [what, bytes] = mutatedModel(base, random);
      return {
        what: `${base.options.architecture} in ${base.options.type}, ${what}`,
        bytes: bytes.length,
        run: () => load(bytes),
      };
    };
  },
};
