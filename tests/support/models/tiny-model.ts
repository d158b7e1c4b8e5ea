import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import { f32, writeGguf } from './gguf-writer.ts';
import type { MetadataValue, TensorToWrite } from './gguf-writer.ts';
import { quantize } from './quantize.ts';
import { Random } from '../random.ts';
import { byteLevelTokenizer, sentencePieceTokenizer, SPECIAL_TOKENS } from './tiny-tokenizer.ts';

export interface TinyModelOptions {
  architecture:
    | 'llama'
    | 'qwen2'
    | 'qwen3'
    | 'granite'
    | 'smollm3'
    | 'gemma3'
    | 'gemma-embedding'
    | 'phi3'
    | 'mistral3'
    | 'lfm2'
    | 'qwen35'
    | 'qwen3moe'
    | 'lfm2moe'
    | 'olmoe'
    | 'gemma4';
  /** Type of every matrix; vectors are F32. Quantized types need rows of whole blocks. */
  type: GgmlType;
  seed: number;
  /** Default: `type`. */
  embeddingType?: GgmlType;
  /** Types of single matrices, by a part of their name such as `blk.0.attn_v`; default: `type`. */
  types?: Record<string, GgmlType>;
  /** Values of single tensors by name, instead of random ones. */
  values?: Record<string, Float32Array>;
  numLayers?: number;
  hiddenSize?: number;
  intermediateSize?: number;
  numHeads?: number;
  numKvHeads?: number;
  /** Default: hiddenSize / numHeads. */
  headDim?: number;
  contextLength?: number;
  ropeTheta?: number;
  /** Gain of q and k; default 1.5. A higher gain sharpens attention and amplifies input errors. */
  attentionGain?: number;
  /** Default: true. */
  tied?: boolean;
  /** `gemma3`, `gemma-embedding` and `gemma4`: window of five of six layers, or of all but every third; default 24 tokens. */
  window?: number;
  /** `gemma4`: number of last layers, which share keys; default: those after the last two kinds of half of the layers. Heads of windowed layers have half the size. */
  shared?: number;
  /** `gemma4`: width of the per-layer inputs; default 32. */
  layerInput?: number;
  /** `lfm2` and `lfm2moe`: attention layers, default every third from the second on; and taps of the convolutions in the others, default 3. */
  attending?: readonly number[];
  taps?: number;
  /** `qwen35`: heads of its delta nets; default 4 key heads, 8 value heads, head size 16. */
  deltaHeads?: readonly [keys: number, values: number, size: number];
  /** `qwen35`: a draft head after the layers. */
  draftHead?: boolean;
  /** `qwen3moe`, `lfm2moe` and `olmoe`: experts per layer, experts per token, and the width of one; default 8, 3 and 256. In `lfm2moe` all layers but the first have experts. */
  experts?: { count: number; used: number; intermediateSize: number };
  /** Gain of the router; default 3. A higher gain lowers the weight of the last chosen expert and amplifies errors of the scores. */
  routerGain?: number;
  /** Llama 3's frequency divisors. */
  ropeFreqs?: boolean;
  /** Components of a head that are rotated; default: all. */
  rotaryDim?: number;
  /** LongRoPE: the longest context, in tokens, that uses the short divisors. */
  shortContext?: number;
  /** Positions divided by this. */
  ropeLinearScale?: number;
  tokenizer?: 'gpt2' | 'llama';
  /** Special tokens of a `gpt2` tokenizer, end tokens included, are never the likeliest. */
  neverEnds?: boolean;
  /** Pads the vocabulary (273 tokens, or 325 with SentencePiece) with unused tokens. */
  vocabSize?: number;
  /** Added to the metadata; replaces existing keys. */
  metadata?: Record<string, MetadataValue>;
}

const isGemma = (architecture: string): boolean => ['gemma3', 'gemma-embedding', 'gemma4'].includes(architecture);

/** Whether q and k rows are permuted, as llama.cpp's converter does for Llama and its relatives. */
export const isInterleaved = (architecture: string): boolean =>
  ['llama', 'granite', 'smollm3', 'mistral3'].includes(architecture);

type Sizes = Required<Pick<TinyModelOptions, keyof typeof DEFAULT_SIZES>> & { headDim: number };

const DEFAULT_SIZES = {
  numLayers: 2,
  hiddenSize: 256,
  intermediateSize: 512,
  numHeads: 4,
  numKvHeads: 2,
  contextLength: 512,
  ropeTheta: 10_000,
};

/** `general.file_type` (llama_ftype in include/llama.h). */
const FILE_TYPES: Record<GgmlType, number> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K: 12,
  Q4_K: 14,
  Q5_K: 16,
  Q6_K: 18,
  IQ3_XXS: 23,
  IQ4_NL: 25,
  IQ4_XS: 30,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
  MXFP4: 38,
  Q1_0: 40,
  Q2_0: 41,
};

/**
 * A random model as a complete GGUF file that llama.cpp loads too. Weights are scaled so that activations stay near
 * one and the logits spread over a few nats.
 */
export function tinyModel(options: TinyModelOptions): Uint8Array {
  const sizes = { ...DEFAULT_SIZES, ...definedSizes(options) };
  const full = { ...sizes, headDim: options.headDim ?? sizes.hiddenSize / sizes.numHeads };
  const pre = isInterleaved(options.architecture) ? 'smollm' : 'qwen2';
  const tokenizer =
    options.tokenizer === 'llama'
      ? sentencePieceTokenizer(options.vocabSize)
      : byteLevelTokenizer(pre, options.vocabSize);
  const vocabSize = (tokenizer['tokenizer.ggml.tokens'] as string[]).length;
  return writeGguf({
    metadata: { ...modelMetadata(options, full, vocabSize), ...tokenizer, ...options.metadata },
    tensors: modelTensors(options, full, vocabSize),
  });
}

const isLfm2 = (architecture: string): boolean => ['lfm2', 'lfm2moe'].includes(architecture);

/** Whether a layer has attention. In `lfm2` and `lfm2moe` some layers have a convolution instead, in `qwen35` a delta net. */
const attends = ({ architecture, attending }: TinyModelOptions, layer: number): boolean =>
  !(isLfm2(architecture) || architecture === 'qwen35') ||
  (attending ? attending.includes(layer) : isLfm2(architecture) ? layer % 3 === 1 : layer % 4 === 3);

const deltaHeads = ({ deltaHeads: [keys, values, size] = [4, 8, 16] }: TinyModelOptions) => ({ keys, values, size });

const hasExperts = (architecture: string, layer: number): boolean =>
  ['qwen3moe', 'olmoe'].includes(architecture) || (architecture === 'lfm2moe' && layer > 0);

const expertsOf = ({ experts = { count: 8, used: 3, intermediateSize: 256 } }: TinyModelOptions) => experts;

function definedSizes(options: TinyModelOptions): Partial<typeof DEFAULT_SIZES> {
  const names = Object.keys(DEFAULT_SIZES) as (keyof typeof DEFAULT_SIZES)[];
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}

function modelMetadata(options: TinyModelOptions, sizes: Sizes, vocabSize: number): Record<string, MetadataValue> {
  const { architecture, type, ropeLinearScale, shortContext } = options;
  const { headDim } = sizes;
  const rotaryDim = options.rotaryDim ?? (isInterleaved(architecture) ? headDim : undefined);
  // Converters write the head size if it does not follow from other sizes, and always for Qwen3.
  const ownHeadDim =
    ['qwen3', 'qwen35', 'qwen3moe'].includes(architecture) ||
    isGemma(architecture) ||
    headDim !== sizes.hiddenSize / sizes.numHeads;
  return {
    'general.architecture': architecture,
    // llama.cpp fails if a model named Phi-3 lacks its special tokens.
    'general.name': architecture === 'phi3' ? 'tiny' : `tiny-${architecture}`,
    'general.file_type': FILE_TYPES[type],
    'general.quantization_version': 2,
    [`${architecture}.vocab_size`]: vocabSize,
    [`${architecture}.block_count`]: sizes.numLayers + (options.draftHead ? 1 : 0),
    ...(options.draftHead && { [`${architecture}.nextn_predict_layers`]: 1 }),
    [`${architecture}.context_length`]: sizes.contextLength,
    [`${architecture}.embedding_length`]: sizes.hiddenSize,
    [`${architecture}.feed_forward_length`]:
      architecture === 'olmoe' ? expertsOf(options).intermediateSize : sizes.intermediateSize,
    [`${architecture}.attention.head_count`]: sizes.numHeads,
    [`${architecture}.attention.head_count_kv`]: isLfm2(architecture)
      ? Int32Array.from({ length: sizes.numLayers }, (_, layer) => (attends(options, layer) ? sizes.numKvHeads : 0))
      : sizes.numKvHeads,
    ...(isLfm2(architecture) && { [`${architecture}.shortconv.l_cache`]: options.taps ?? 3 }),
    ...(architecture === 'qwen35' && deltaMetadata(options, sizes)),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: f32(1e-5),
    [`${architecture}.rope.freq_base`]: f32(sizes.ropeTheta),
    ...(rotaryDim !== undefined && { [`${architecture}.rope.dimension_count`]: rotaryDim }),
    ...(shortContext !== undefined && {
      [`${architecture}.rope.scaling.original_context_length`]: shortContext,
      [`${architecture}.rope.scaling.attn_factor`]: f32(1.19),
    }),
    ...(architecture === 'granite' && {
      [`${architecture}.attention.scale`]: f32(0.08),
      [`${architecture}.embedding_scale`]: f32(12),
      [`${architecture}.residual_scale`]: f32(0.22),
      [`${architecture}.logit_scale`]: f32(0.6),
    }),
    ...(hasExperts(architecture, sizes.numLayers) && {
      [`${architecture}.expert_count`]: expertsOf(options).count,
      [`${architecture}.expert_used_count`]: expertsOf(options).used,
      ...(architecture !== 'olmoe' && {
        [`${architecture}.expert_feed_forward_length`]: expertsOf(options).intermediateSize,
      }),
    }),
    ...(architecture === 'lfm2moe' && { 'lfm2moe.leading_dense_block_count': 1, 'lfm2moe.expert_gating_func': 2 }),
    ...(isGemma(architecture) && { [`${architecture}.attention.sliding_window`]: options.window ?? 24 }),
    ...(architecture === 'gemma-embedding' && {
      ...{ 'gemma-embedding.pooling_type': 1, 'gemma-embedding.attention.causal': false },
      ...{
        'gemma-embedding.dense_2_feat_in': sizes.hiddenSize,
        'gemma-embedding.dense_2_feat_out': 2 * sizes.hiddenSize,
      },
      ...{
        'gemma-embedding.dense_3_feat_in': 2 * sizes.hiddenSize,
        'gemma-embedding.dense_3_feat_out': sizes.hiddenSize,
      },
    }),
    ...(architecture === 'gemma4' && gemma4Metadata(options, sizes)),
    ...(ownHeadDim && {
      [`${architecture}.attention.key_length`]: headDim,
      [`${architecture}.attention.value_length`]: headDim,
    }),
    ...(ropeLinearScale !== undefined && {
      [`${architecture}.rope.scaling.type`]: 'linear',
      [`${architecture}.rope.scaling.factor`]: f32(ropeLinearScale),
    }),
  };
}

/** The last layer with its own keys has full attention, the one before a window, as llama.cpp assumes. */
const isWindowed = (layer: number): boolean => layer % 3 !== 2;
const firstShared = ({ shared }: TinyModelOptions, numLayers: number): number =>
  numLayers - (shared ?? numLayers - 3 * Math.ceil(numLayers / 6));

function gemma4Metadata(
  options: TinyModelOptions,
  { numLayers, intermediateSize, headDim }: Sizes,
): Record<string, MetadataValue> {
  const from = firstShared(options, numLayers);
  return {
    'gemma4.attention.sliding_window_pattern': Array.from({ length: numLayers }, (_, layer) => isWindowed(layer)),
    'gemma4.attention.shared_kv_layers': numLayers - from,
    'gemma4.attention.key_length_swa': headDim / 2,
    'gemma4.attention.value_length_swa': headDim / 2,
    'gemma4.rope.dimension_count': headDim,
    'gemma4.rope.dimension_count_swa': headDim / 2,
    'gemma4.rope.freq_base_swa': f32(5_000),
    'gemma4.embedding_length_per_layer_input': options.layerInput ?? 32,
    'gemma4.final_logit_softcapping': f32(9),
    'gemma4.feed_forward_length': Int32Array.from(
      { length: numLayers },
      (_, layer) => (layer < from ? 1 : 2) * intermediateSize,
    ),
  };
}

/** By default every fourth layer has attention. */
function deltaMetadata(options: TinyModelOptions, { numLayers, headDim }: Sizes): Record<string, MetadataValue> {
  const { keys, values, size } = deltaHeads(options);
  const pairs = (options.rotaryDim ?? headDim) / 2;
  return {
    'qwen35.ssm.conv_kernel': options.taps ?? 4,
    'qwen35.ssm.state_size': size,
    'qwen35.ssm.group_count': keys,
    'qwen35.ssm.time_step_rank': values,
    'qwen35.ssm.inner_size': values * size,
    'qwen35.rope.dimension_sections': Int32Array.from([...[0, 1, 2].map((axis) => Math.ceil((pairs - axis) / 3)), 0]),
    ...(options.attending && {
      'qwen35.attention.recurrent_layers': Array.from({ length: numLayers }, (_, layer) => !attends(options, layer)),
    }),
  };
}

function modelTensors(options: TinyModelOptions, sizes: Sizes, vocabSize: number): TensorToWrite[] {
  const { architecture, type, embeddingType = type, tied = true, attentionGain = 1.5, layerInput = 32 } = options;
  const { hiddenSize, numLayers } = sizes;
  const isGemma4 = architecture === 'gemma4';
  const from = isGemma4 ? firstShared(options, numLayers) : Infinity;
  const random = new Random(options.seed);
  const tensors: TensorToWrite[] = [];
  const add = (name: string, shape: number[], values: Float32Array, as: GgmlType): void => {
    tensors.push({ name, shape, type: as, bytes: quantize(as, options.values?.[name] ?? values) });
  };
  const ownTypes = Object.entries(options.types ?? {});
  const matrix = (
    name: string,
    [rows, columns]: readonly [number, number],
    { gain = 1, as = type, emptyRows = 0 } = {},
  ): void => {
    const own = ownTypes.find(([part]) => name.includes(part))?.[1];
    const values = random.normals(rows * columns, gain / Math.sqrt(columns)).fill(0, 0, emptyRows * columns);
    add(name, [rows, columns], values, own ?? as);
  };
  const stack = (name: string, [count, rows, columns]: readonly [number, number, number]): void => {
    const own = ownTypes.find(([part]) => name.includes(part))?.[1];
    add(name, [count, rows, columns], random.normals(count * rows * columns, 1 / Math.sqrt(columns)), own ?? type);
  };
  const vector = (name: string, length: number, std: number, mean: number): void =>
    add(name, [length], random.normals(length, std, mean), 'F32');

  const unlikely = options.neverEnds ? SPECIAL_TOKENS : 0;
  // The final norm has unit RMS, so this gain is the standard deviation of the logits.
  matrix('token_embd.weight', [vocabSize, hiddenSize], { gain: 2, as: embeddingType, emptyRows: unlikely });
  vector(isLfm2(architecture) ? 'token_embd_norm.weight' : 'output_norm.weight', hiddenSize, 0.1, 1);
  if (!tied) matrix('output.weight', [vocabSize, hiddenSize], { gain: 2, as: embeddingType, emptyRows: unlikely });
  const { headDim } = sizes;
  if (options.ropeFreqs === true) {
    const divisors = Float32Array.from({ length: headDim / 2 }, (_, i) => 1 + 7 * Math.min(1, (4 * i) / headDim) ** 2);
    add('rope_freqs.weight', [headDim / 2], divisors, 'F32');
  }
  if (options.shortContext !== undefined) {
    const length = (options.rotaryDim ?? headDim) / 2;
    const divisors = (most: number): Float32Array => Float32Array.from({ length }, (_, i) => 1 + (most * i) / length);
    add('rope_factors_short.weight', [length], divisors(0.3), 'F32');
    add('rope_factors_long.weight', [length], divisors(9), 'F32');
  }
  if (architecture === 'gemma-embedding') {
    matrix('dense_2.weight', [2 * hiddenSize, hiddenSize]);
    matrix('dense_3.weight', [hiddenSize, 2 * hiddenSize]);
  }
  if (isGemma4) {
    const half = headDim / 2;
    add('rope_freqs.weight', [half], new Float32Array(half).fill(1e30).fill(1, 0, half / 4), 'F32');
    matrix('per_layer_token_embd.weight', [vocabSize, numLayers * layerInput], { gain: Math.sqrt(numLayers) });
    matrix('per_layer_model_proj.weight', [numLayers * layerInput, hiddenSize]);
    vector('per_layer_proj_norm.weight', layerInput, 0.1, 1);
  }
  const isFused = architecture === 'phi3';
  for (let layer = 0; layer < numLayers + (options.draftHead ? 1 : 0); layer++) {
    const drafts = layer === numLayers;
    const ownHeadDim = isGemma4 && isWindowed(layer) ? headDim / 2 : headDim;
    const intermediateSize = (layer < from ? 1 : 2) * sizes.intermediateSize;
    const qSize = sizes.numHeads * ownHeadDim;
    const kvSize = sizes.numKvHeads * ownHeadDim;
    const name = (rest: string): string => `blk.${layer}.${rest}`;
    vector(name('attn_norm.weight'), hiddenSize, 0.1, 1);
    if (drafts) {
      vector(name('nextn.enorm.weight'), hiddenSize, 0.1, 1);
      vector(name('nextn.hnorm.weight'), hiddenSize, 0.1, 1);
      matrix(name('nextn.eh_proj.weight'), [hiddenSize, 2 * hiddenSize]);
      vector(name('nextn.shared_head_norm.weight'), hiddenSize, 0.1, 1);
    }
    if (!attends(options, layer) && !drafts && architecture === 'qwen35') {
      const { keys, values, size } = deltaHeads(options);
      const taps = options.taps ?? 4;
      const width = (2 * keys + values) * size;
      matrix(name('attn_qkv.weight'), [width, hiddenSize]);
      matrix(name('attn_gate.weight'), [values * size, hiddenSize]);
      matrix(name('ssm_beta.weight'), [values, hiddenSize]);
      matrix(name('ssm_alpha.weight'), [values, hiddenSize]);
      add(name('ssm_conv1d.weight'), [width, taps], random.normals(width * taps, 1 / Math.sqrt(taps)), 'F32');
      // Some heads forget within a few tokens, others hardly at all.
      add(
        name('ssm_a'),
        [values],
        random.normals(values, 1).map((log) => -0.3 * Math.exp(log)),
        'F32',
      );
      vector(name('ssm_dt.bias'), values, 0.5, 0);
      vector(name('ssm_norm.weight'), size, 0.1, 1);
      matrix(name('ssm_out.weight'), [hiddenSize, values * size]);
    } else if (!attends(options, layer) && !drafts) {
      const taps = options.taps ?? 3;
      matrix(name('shortconv.in_proj.weight'), [3 * hiddenSize, hiddenSize]);
      add(
        name('shortconv.conv.weight'),
        [hiddenSize, taps],
        random.normals(hiddenSize * taps, 1 / Math.sqrt(taps)),
        'F32',
      );
      matrix(name('shortconv.out_proj.weight'), [hiddenSize, hiddenSize]);
    } else {
      if (isFused) matrix(name('attn_qkv.weight'), [qSize + 2 * kvSize, hiddenSize], { gain: attentionGain });
      else {
        matrix(name('attn_q.weight'), [architecture === 'qwen35' ? 2 * qSize : qSize, hiddenSize], {
          gain: attentionGain,
        });
        if (layer < from) matrix(name('attn_k.weight'), [kvSize, hiddenSize], { gain: attentionGain });
        if (layer < from) matrix(name('attn_v.weight'), [kvSize, hiddenSize]);
      }
      if (architecture === 'qwen2') {
        vector(name('attn_q.bias'), qSize, 0.3, 0);
        vector(name('attn_k.bias'), kvSize, 0.3, 0);
        vector(name('attn_v.bias'), kvSize, 0.3, 0);
      }
      if (['qwen3', 'lfm2', 'qwen35', 'qwen3moe', 'lfm2moe'].includes(architecture) || isGemma(architecture)) {
        const scale = isGemma4 ? attentionGain / Math.sqrt(ownHeadDim) : 1; // Gemma 4 does not scale scores
        vector(name('attn_q_norm.weight'), ownHeadDim, 0.2 * scale, scale);
        if (layer < from) vector(name('attn_k_norm.weight'), ownHeadDim, 0.2, 1);
      }
      if (architecture === 'olmoe') {
        vector(name('attn_q_norm.weight'), qSize, 0.2, 1);
        vector(name('attn_k_norm.weight'), kvSize, 0.2, 1);
      }
      matrix(name('attn_output.weight'), [hiddenSize, qSize]);
    }
    if (isGemma4) {
      matrix(name('inp_gate.weight'), [layerInput, hiddenSize]);
      matrix(name('proj.weight'), [hiddenSize, layerInput]);
      vector(name('post_norm.weight'), hiddenSize, 0.1, 0.5);
      vector(name('layer_output_scale.weight'), 1, 0.1, 0.9);
    }
    if (isGemma(architecture)) {
      vector(name('post_attention_norm.weight'), hiddenSize, 0.1, 1);
      vector(name('post_ffw_norm.weight'), hiddenSize, 0.1, 1);
    }
    vector(name(architecture === 'qwen35' ? 'post_attention_norm.weight' : 'ffn_norm.weight'), hiddenSize, 0.1, 1);
    if (hasExperts(architecture, layer)) {
      const { count, intermediateSize: width } = expertsOf(options);
      matrix(name('ffn_gate_inp.weight'), [count, hiddenSize], { gain: options.routerGain ?? 3, as: 'F32' });
      if (architecture === 'lfm2moe') vector(name('exp_probs_b.bias'), count, 0.2, 0);
      stack(name('ffn_gate_exps.weight'), [count, width, hiddenSize]);
      stack(name('ffn_up_exps.weight'), [count, width, hiddenSize]);
      stack(name('ffn_down_exps.weight'), [count, hiddenSize, width]);
      continue;
    }
    if (!isFused) matrix(name('ffn_gate.weight'), [intermediateSize, hiddenSize]);
    matrix(name('ffn_up.weight'), [isFused ? 2 * intermediateSize : intermediateSize, hiddenSize]);
    matrix(name('ffn_down.weight'), [hiddenSize, intermediateSize]);
  }
  return tensors;
}
