import { levelRanks } from '../adapters/level-ranks.ts';
import type { LadderModule } from '../adapters/rank-ladder.ts';
import { linearShape, linearsOfLayer, linearsOfModel } from '../architectures/linears.ts';
import { configOfLayer, type ModelConfig } from '../config/model-config.ts';
import { randomWords } from '../util/numbers.ts';
import { type Adaptation, wholeAdapters } from '../engine/adapters.ts';
import type { Session } from '../session/session.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { GGML_TYPES } from '../weights/ggml-types.ts';
import { GgufMetadata } from '../weights/gguf/gguf-metadata.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

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

/** A Llama model of this shape without a file: Q4_0 weights that the GPU randomizes, norms of ones, tied embeddings. */
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

/** Metadata under GGUF's keys; the tokens have no texts. */
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

/** A source of F32 ones. */
const ones = (name: string): ByteSource => ({
  name,
  size: Number.MAX_SAFE_INTEGER,
  read: async (_, length) => new Uint8Array(new Float32Array(length / 4).fill(1).buffer),
});

const RANK = 16;

/** Runs `work` with a random adapter of rank 16 on every linear, used in full by every token. Errors: `over_limit`, `kernel_refused`, `device_lost`. */
export async function withRandomAdapter<T>(session: Session, work: (adaptation: Adaptation) => Promise<T>): Promise<T> {
  const { device, transformer } = session;
  const modules = randomModules(transformer.config);
  const adapter = transformer.arena.add(modules, levelRanks(modules).ranks);
  try {
    await session.bindAdapters();
    return await work(wholeAdapters({ adapters: [{ adapter, table: '', scale: 1 }], loras: [], key: 'random' }));
  } finally {
    if (device.lost() === undefined) transformer.arena.remove(adapter);
  }
}

function randomModules(config: ModelConfig): LadderModule[] {
  const layers = Array.from({ length: config.numLayers }, (_, layer) => configOfLayer(config, layer));
  const widest = Math.max(
    ...layers.flatMap((own) => linearsOfModel(config).flatMap((linear) => linearShape(own, linear))),
  );
  const halves = smallHalves(RANK * widest);
  return Array.from({ length: config.numLayers }, (_, layer) =>
    linearsOfLayer(config, layer).map((linear) => {
      const [outFeatures, inFeatures] = linearShape(configOfLayer(config, layer), linear);
      const factors = { a: halves.slice(0, RANK * inFeatures), bTransposed: halves.slice(0, RANK * outFeatures) };
      const singularValues = Float64Array.from({ length: RANK }, (__, i) => 1 / (1 + i));
      return {
        name: `blk.${layer}.${linear}`,
        layer,
        linear,
        rank: RANK,
        inFeatures,
        outFeatures,
        ...factors,
        singularValues,
      };
    }),
  ).flat();
}

/** Random binary16 bits of either sign with magnitudes from 2^-9 to 2^-8. */
function smallHalves(count: number): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(randomWords(Math.ceil(count / 2)).buffer);
  return halves.map((bits) => (bits & 0x83ff) | 0x1800);
}
