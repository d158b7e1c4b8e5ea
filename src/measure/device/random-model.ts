import { linearShape, linearsOfLayer } from '../../architectures/linears.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import { GGML_TYPES } from '../../weights/ggml-types.ts';
import { GgufMetadata } from '../../weights/gguf/gguf-metadata.ts';
import type { ModelHeader } from '../../weights/model-header.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';

export interface ModelShape extends Pick<
  ModelConfig,
  | 'numLayers'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'numHeads'
  | 'numKvHeads'
  | 'headDim'
  | 'vocabSize'
  | 'contextLength'
> {
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

/** A Llama of this shape whose weights are random and lie in no file: Q4_0 that the GPU makes up, norms of ones, tied embeddings. */
export function randomModel(shape: ModelShape): ModelHeader {
  const { name, numLayers, hiddenSize, vocabSize } = shape;
  const source = ones(name);
  const tensor = (tensorName: string, ...lengths: number[]): TensorInfo => {
    const isRandom = lengths.length > 1;
    const type = isRandom ? 'Q4_0' : 'F32';
    const { blockSize, blockBytes } = GGML_TYPES[type];
    const bytes = (lengths.reduce((product, length) => product * length, 1) / blockSize) * blockBytes;
    return { name: tensorName, shape: lengths, type, bytes, offset: 0, source, isRandom };
  };
  const layers = Array.from({ length: numLayers }, (_, layer) => [
    ...linearsOfLayer({}, layer).map((linear) =>
      tensor(`blk.${layer}.${linear}.weight`, ...linearShape(shape, linear)),
    ),
    ...['attn_norm', 'ffn_norm'].map((norm) => tensor(`blk.${layer}.${norm}.weight`, hiddenSize)),
  ]);
  return {
    metadata: metadataOf(shape),
    tensors: [
      tensor('token_embd.weight', vocabSize, hiddenSize),
      tensor('output_norm.weight', hiddenSize),
      ...layers.flat(),
    ],
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

/** As numbers of F32. */
const ones = (name: string): ByteSource => ({
  name,
  size: Number.MAX_SAFE_INTEGER,
  read: async (_, length) => new Uint8Array(new Float32Array(length / 4).fill(1).buffer),
});
