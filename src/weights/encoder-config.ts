import { bertTensors, ENCODERS } from '../architectures/encoder.ts';
import type { BertConfig, BidirectionalConfig, EncoderConfig, Pooling } from '../config/encoder-config.ts';
import { checkMultiple, fail, type GgufMetadata, readInteger, readRange } from './gguf/gguf-metadata.ts';
import { MOST, readDecoderConfig, readVocabSize } from './model-config.ts';
import type { ModelHeader } from './model-header.ts';
import { checkAgainst, wantedTensors } from './model-tensors.ts';
import type { TensorInfo } from './tensor-info.ts';

/** GGUF's numbers of pooling types (llama.cpp, include/llama.h, llama_pooling_type). */
export const POOLINGS: ReadonlyMap<number, Pooling> = new Map([
  [1, 'mean'],
  [2, 'cls'],
  [3, 'last'],
  [4, 'rank'],
]);

/** llama.cpp's names of the dense layers after pooling. */
export const DENSE = ['dense_2.weight', 'dense_3.weight'] as const;

/** Most segments; all known models have two. Each needs its own table of positions. */
const MOST_SEGMENTS = 16;

/**
 * Whether a tensor goes to the GPU as stored. Positions and segments are summed at load; the classifier stays on the
 * CPU.
 */
export const isOnGpu = (name: string): boolean => !/^(position_embd|token_types|cls)\./.test(name);

/** Whether a header belongs to an encoder. */
export function isEncoder({ metadata }: Pick<ModelHeader, 'metadata'>): boolean {
  const architecture = metadata.get('general.architecture');
  return typeof architecture === 'string' && ENCODERS.has(architecture);
}

/** Reads an encoder's hyperparameters under llama.cpp's keys. Throws `bad_file` and `unsupported`, naming the key. */
export function readEncoderConfig(file: ModelHeader): EncoderConfig {
  const { metadata } = file;
  const architecture = metadata.string('general.architecture');
  const causal = `${architecture}.attention.causal`;
  if (metadata.optionalBoolean(causal) === true)
    fail(metadata, causal, 'an encoder whose tokens see only those before them is not supported', 'unsupported');
  return architecture === 'bert' ? readBertConfig(file) : readBidirectionalConfig(file);
}

function readBertConfig({ metadata, tensors, isNormalized = true }: ModelHeader): BertConfig {
  const architecture = metadata.string('general.architecture');
  const key = (name: string): string => `${architecture}.${name}`;
  const integer = (name: keyof typeof MOST): number => readInteger(metadata, key(name), MOST[name]);
  const rowsOf = (name: string): number | undefined => tensors.find((tensor) => tensor.name === name)?.shape[0];
  const hiddenSize = integer('embedding_length');
  const intermediateSize = integer('feed_forward_length');
  const numHeads = integer('attention.head_count');
  const headDim = hiddenSize / numHeads;
  checkMultiple(metadata, key('embedding_length'), hiddenSize, 32);
  checkMultiple(metadata, key('feed_forward_length'), intermediateSize, 32);
  if (!Number.isInteger(headDim))
    fail(metadata, key('attention.head_count'), `${numHeads} heads do not divide the hidden size ${hiddenSize}`);
  if (headDim % 4 !== 0 || headDim > 256)
    fail(metadata, key('attention.head_count'), `a head of ${headDim} is not a multiple of 4 up to 256`, 'unsupported');
  const model = metadata.string('tokenizer.ggml.model');
  if (model !== 'bert' && model !== 't5')
    fail(
      metadata,
      'tokenizer.ggml.model',
      `an encoder with the tokenizer ${JSON.stringify(model.slice(0, 40))} is not supported; bert and t5 are`,
      'unsupported',
    );
  const pairs = model === 'bert' ? 'segments' : 'separators';
  const pooling = readPooling(metadata, key('pooling_type'));
  const numSegments = rowsOf('token_types.weight') ?? 1;
  if (numSegments > MOST_SEGMENTS)
    fail(
      metadata,
      'token_types.weight',
      `${numSegments} segments; at most ${MOST_SEGMENTS} are supported`,
      'unsupported',
    );
  if (pooling === 'rank') {
    if (pairs === 'segments' && numSegments < 2)
      fail(
        metadata,
        'token_types.weight',
        'a cross-encoder with a single segment cannot tell two texts apart',
        'unsupported',
      );
    const standsBetween =
      metadata.optionalBoolean('tokenizer.ggml.add_bos_token') === true &&
      metadata.optionalBoolean('tokenizer.ggml.add_eos_token') !== false;
    if (pairs === 'separators' && !standsBetween)
      fail(
        metadata,
        'tokenizer.ggml.add_bos_token',
        'a cross-encoder without tokens before and after its texts is not supported',
        'unsupported',
      );
    const labels = rowsOf('cls.output.weight') ?? 1;
    if (labels !== 1)
      fail(
        metadata,
        'cls.output.weight',
        `a classifier of ${labels} labels is not supported; one that gives a score is`,
        'unsupported',
      );
  }
  return {
    architecture,
    numLayers: integer('block_count'),
    ...{ hiddenSize, intermediateSize, numHeads, headDim },
    vocabSize: readVocabSize(metadata, architecture),
    contextLength: integer('context_length'),
    numSegments,
    pairs,
    layerNormEps: readRange(metadata, key('attention.layer_norm_epsilon'), [1e-20, 1]),
    pooling,
    isNormalized: isNormalized && pooling !== 'rank',
  };
}

/** The dense layers' sizes follow from the weights. */
function readBidirectionalConfig(file: ModelHeader): BidirectionalConfig {
  const { metadata, tensors, isNormalized = true, hasDense = true } = file;
  const decoder = readDecoderConfig(file);
  const { architecture, hiddenSize, vocabSize, contextLength } = decoder;
  const poolingKey = `${architecture}.pooling_type`;
  const pooling = readPooling(metadata, poolingKey);
  if (pooling === 'rank')
    fail(metadata, poolingKey, `a ${architecture} model that scores pairs of texts is not supported`, 'unsupported');
  const denseWidth = tensors.find(({ name }) => name === DENSE[0])?.shape[0];
  if (hasDense && denseWidth === undefined) {
    fail(
      metadata,
      DENSE[0],
      "the tensor is missing: the vectors of a file that was converted without the dense layers (--sentence-transformers-dense-modules) would be others than the model's",
    );
  }
  if (denseWidth !== undefined) checkMultiple(metadata, DENSE[0], denseWidth, 32);
  if (decoder.shortContext !== undefined || decoder.temperature) {
    fail(
      metadata,
      `${architecture}.rope.scaling.type`,
      'LongRoPE and scores by position are not supported in an encoder',
      'unsupported',
    );
  }
  const own = { ...decoder, tiedEmbeddings: true, qkvBias: false }; // checkEncoderTensors rejects an output matrix or a bias by its name
  return {
    architecture,
    hiddenSize,
    vocabSize,
    contextLength,
    pooling,
    isNormalized,
    decoder: own,
    ...(denseWidth !== undefined && { denseWidth }),
  };
}

function readPooling(metadata: GgufMetadata, key: string): Pooling {
  if (!metadata.has(key)) return fail(metadata, key, 'missing: the model names no pooling');
  const type = metadata.number(key);
  return (
    POOLINGS.get(type) ??
    fail(metadata, key, `pooling ${type} is not supported; 1 (mean), 2 (CLS), 3 (last) and 4 (rank) are`, 'unsupported')
  );
}

/** `checkTensors` for encoders. */
export const checkEncoderTensors = (file: ModelHeader, config: EncoderConfig): ReadonlyMap<string, TensorInfo> =>
  checkAgainst(file, config.architecture, encoderTensors(config));

/** Every tensor of an encoder, by name. */
export function encoderTensors(config: EncoderConfig): ReturnType<typeof wantedTensors> {
  if (!('decoder' in config)) return new Map([...bertTensors(config)].map(([name, shape]) => [name, { shape }]));
  const { hiddenSize, denseWidth } = config;
  const wanted = wantedTensors(config.decoder);
  wanted.delete('rope_freqs.weight'); // divisors that the encoder's forward pass does not apply
  return denseWidth === undefined
    ? wanted
    : wanted.set(DENSE[0], { shape: [denseWidth, hiddenSize] }).set(DENSE[1], { shape: [hiddenSize, denseWidth] });
}
