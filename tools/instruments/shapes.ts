import type { ModelConfig } from '../../src/config/model-config.ts';

const modelOf = (
  sizes: Pick<
    ModelConfig,
    'numLayers' | 'hiddenSize' | 'intermediateSize' | 'numHeads' | 'numKvHeads' | 'headDim' | 'vocabSize'
  >,
  others: Partial<ModelConfig> = {},
): ModelConfig => ({
  architecture: 'llama',
  contextLength: 8192,
  rmsNormEps: 1e-5,
  ropeTheta: 500_000,
  unrotatedLayers: [],
  qkvBias: false,
  qkNorm: false,
  postNorms: false,
  activation: 'silu',
  embeddingScale: 1,
  residualScale: 1,
  logitDivisor: 1,
  tiedEmbeddings: true,
  ropeLayout: 'half',
  ...sizes,
  ...others,
});

/** Models of every size that runs in a browser, by their names here. */
export const SHAPES = {
  /** SmolLM2-135M */
  '135M': modelOf({
    numLayers: 30,
    hiddenSize: 576,
    intermediateSize: 1536,
    numHeads: 9,
    numKvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
  }),
  /** Llama 3.2 1B */
  '1B': modelOf({
    numLayers: 16,
    hiddenSize: 2048,
    intermediateSize: 8192,
    numHeads: 32,
    numKvHeads: 8,
    headDim: 64,
    vocabSize: 128_256,
  }),
  /** Qwen3 4B */
  '4B': modelOf(
    {
      numLayers: 36,
      hiddenSize: 2560,
      intermediateSize: 9728,
      numHeads: 32,
      numKvHeads: 8,
      headDim: 128,
      vocabSize: 151_936,
    },
    { architecture: 'qwen3', qkNorm: true },
  ),
  /** Llama 3.1 8B */
  '8B': modelOf(
    {
      numLayers: 32,
      hiddenSize: 4096,
      intermediateSize: 14_336,
      numHeads: 32,
      numKvHeads: 8,
      headDim: 128,
      vocabSize: 128_256,
    },
    { tiedEmbeddings: false },
  ),
  /** Qwen2.5 0.5B: q, k and v have a bias, and some lanes stay idle. */
  biases: modelOf(
    {
      numLayers: 24,
      hiddenSize: 896,
      intermediateSize: 4864,
      numHeads: 14,
      numKvHeads: 2,
      headDim: 64,
      vocabSize: 151_936,
    },
    { architecture: 'qwen2', qkvBias: true },
  ),
  /** Gemma 3 1B; its one layer has a window. */
  window: modelOf(
    {
      numLayers: 26,
      hiddenSize: 1152,
      intermediateSize: 6912,
      numHeads: 4,
      numKvHeads: 1,
      headDim: 256,
      vocabSize: 262_144,
    },
    { architecture: 'gemma3', qkNorm: true, postNorms: true, activation: 'gelu', window: { tokens: 512, layers: [0] } },
  ),
  /** Heads as wide as Gemma's. */
  'head 256': modelOf({
    numLayers: 26,
    hiddenSize: 2048,
    intermediateSize: 8192,
    numHeads: 8,
    numKvHeads: 4,
    headDim: 256,
    vocabSize: 128_256,
  }),
  /** LFM2-1.2B; its one layer has a convolution. */
  convolution: modelOf(
    {
      numLayers: 16,
      hiddenSize: 2048,
      intermediateSize: 8192,
      numHeads: 32,
      numKvHeads: 8,
      headDim: 64,
      vocabSize: 65_536,
    },
    { architecture: 'lfm2', qkNorm: true, convolution: { taps: 3, layers: [0] } },
  ),
  /** Qwen3.5 4B; its one layer has a delta net. */
  'delta net': modelOf(
    {
      numLayers: 32,
      hiddenSize: 2560,
      intermediateSize: 9216,
      numHeads: 16,
      numKvHeads: 4,
      headDim: 256,
      vocabSize: 248_320,
    },
    {
      ...{ architecture: 'qwen35', qkNorm: true, gatesAttention: true, rotaryDim: 64 },
      deltaNet: { numKeyHeads: 16, numValueHeads: 32, headDim: 128, taps: 4, valueHeads: 'tiled', layers: [0] },
    },
  ),
  /** Qwen3.5 4B's other layers, which have attention gates. */
  'gated attention': modelOf(
    {
      numLayers: 32,
      hiddenSize: 2560,
      intermediateSize: 9216,
      numHeads: 16,
      numKvHeads: 4,
      headDim: 256,
      vocabSize: 248_320,
    },
    { architecture: 'qwen35', qkNorm: true, gatesAttention: true, rotaryDim: 64 },
  ),
  /** Qwen3-30B-A3B */
  experts: modelOf(
    {
      numLayers: 48,
      hiddenSize: 2048,
      intermediateSize: 6144,
      numHeads: 32,
      numKvHeads: 4,
      headDim: 128,
      vocabSize: 151_936,
    },
    {
      architecture: 'qwen3moe',
      qkNorm: true,
      tiedEmbeddings: false,
      experts: { count: 128, used: 8, intermediateSize: 768, firstLayer: 0, shares: 'softmax', normalizes: true },
    },
  ),
  /** LFM2-8B-A1B; its one layer has attention and experts. */
  'experts by sigmoids': modelOf(
    {
      numLayers: 24,
      hiddenSize: 2048,
      intermediateSize: 7168,
      numHeads: 32,
      numKvHeads: 8,
      headDim: 64,
      vocabSize: 65_536,
    },
    {
      architecture: 'lfm2moe',
      qkNorm: true,
      experts: { count: 32, used: 4, intermediateSize: 1792, firstLayer: 0, shares: 'sigmoid', normalizes: true },
    },
  ),
  /** OLMoE-1B-7B: q and k are normed across all heads, and experts' shares are not normalized. */
  'whole norms': modelOf(
    {
      numLayers: 16,
      hiddenSize: 2048,
      intermediateSize: 1024,
      numHeads: 16,
      numKvHeads: 16,
      headDim: 128,
      vocabSize: 50_304,
    },
    {
      architecture: 'olmoe',
      normsQkWhole: true,
      tiedEmbeddings: false,
      experts: { count: 64, used: 8, intermediateSize: 1024, firstLayer: 0, shares: 'softmax', normalizes: false },
    },
  ),
  /** Gemma 4 E2B; its one layer has no window. */
  'layer inputs': modelOf(
    {
      numLayers: 35,
      hiddenSize: 1536,
      intermediateSize: 6144,
      numHeads: 8,
      numKvHeads: 1,
      headDim: 512,
      vocabSize: 262_144,
    },
    {
      architecture: 'gemma4',
      qkNorm: true,
      valueNorm: true,
      postNorms: true,
      activation: 'gelu',
      attentionScale: 1,
      perLayerInputs: 256,
      logitCap: 30,
    },
  ),
} as const;

export type ShapeName = keyof typeof SHAPES;
export const SHAPE_NAMES = Object.keys(SHAPES) as ShapeName[];
