import { LINEAR_NAMES, linearShape } from '../../architectures/linears.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import { GGML_TYPES } from '../../weights/ggml-types.ts';
import { GgufMetadata } from '../../weights/gguf/gguf-metadata.ts';
import type { ModelHeader } from '../../weights/model-header.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { randomWords } from '../../config/random-words.ts';

export interface ModelShape
  extends Pick<ModelConfig, 'numLayers' | 'hiddenSize' | 'intermediateSize' | 'numHeads' | 'numKvHeads' | 'headDim' | 'vocabSize' | 'contextLength'> {
  name: string;
}

/** Llama 3.2 1B's. */
export const SHAPE_1B: ModelShape = {
  name: 'random weights, 1B, Q4_0',
  numLayers: 16,
  hiddenSize: 2048,
  intermediateSize: 8192,
  numHeads: 32,
  numKvHeads: 8,
  headDim: 64,
  vocabSize: 128_256,
  contextLength: 131_072,
};

/** A Llama of this shape whose weights are random and lie in no file: Q4_0, norms of ones, tied embeddings. */
export function randomModel(shape: ModelShape): ModelHeader {
  const { name, numLayers, hiddenSize, vocabSize } = shape;
  const sources = { Q4_0: repeated(name, randomBlocks()), F32: repeated(name, ones()) };
  const tensor = (tensorName: string, ...lengths: number[]): TensorInfo => {
    const type = lengths.length === 1 ? 'F32' : 'Q4_0';
    const { blockSize, blockBytes } = GGML_TYPES[type];
    const bytes = (lengths.reduce((product, length) => product * length, 1) / blockSize) * blockBytes;
    return { name: tensorName, shape: lengths, type, bytes, offset: 0, source: sources[type] };
  };
  const layers = Array.from({ length: numLayers }, (_, layer) => [
    ...LINEAR_NAMES.map((linear) => tensor(`blk.${layer}.${linear}.weight`, ...linearShape(shape, linear))),
    ...['attn_norm', 'ffn_norm'].map((norm) => tensor(`blk.${layer}.${norm}.weight`, hiddenSize)),
  ]);
  return {
    metadata: metadataOf(shape),
    tensors: [tensor('token_embd.weight', vocabSize, hiddenSize), tensor('output_norm.weight', hiddenSize), ...layers.flat()],
  };
}

/** Under GGUF's keys. No text is made of its tokens. */
function metadataOf(shape: ModelShape): GgufMetadata {
  const ofLlama = {
    block_count: shape.numLayers,
    context_length: shape.contextLength,
    embedding_length: shape.hiddenSize,
    feed_forward_length: shape.intermediateSize,
    'attention.head_count': shape.numHeads,
    'attention.head_count_kv': shape.numKvHeads,
    'attention.key_length': shape.headDim,
    'attention.layer_norm_rms_epsilon': 1e-5,
    'rope.freq_base': 500_000,
  };
  const keys = Object.entries(ofLlama).map(([key, value]) => [`llama.${key}`, value] as const);
  const tokens = new Array<string>(shape.vocabSize).fill('');
  return new GgufMetadata(
    shape.name,
    new Map<string, string | number | string[]>([
      ['general.architecture', 'llama'],
      ['tokenizer.ggml.model', 'gpt2'],
      ['tokenizer.ggml.tokens', tokens],
      ...keys,
    ]),
  );
}

/** The same bytes over and over: every tensor begins with the first of them. */
function repeated(name: string, pattern: Uint8Array): ByteSource {
  return {
    name,
    size: Number.MAX_SAFE_INTEGER,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const from = (offset + at) % pattern.length;
        const part = pattern.subarray(from, from + length - at);
        bytes.set(part, at);
        at += part.length;
      }
      return bytes;
    },
  };
}

const BLOCKS = 1 << 16;

/** Blocks of Q4_0: random codes, and scales of 2^-8 to 2^-7, which are finite whatever their fractions. */
function randomBlocks(): Uint8Array {
  const { blockBytes } = GGML_TYPES.Q4_0;
  const bytes = new Uint8Array(randomWords((BLOCKS * blockBytes) / 4).buffer);
  for (let at = 1; at < bytes.length; at += blockBytes) bytes[at] = 0x1c | ((bytes[at] ?? 0) & 3);
  return bytes;
}

const ones = (): Uint8Array => new Uint8Array(new Float32Array(1 << 12).fill(1).buffer);
