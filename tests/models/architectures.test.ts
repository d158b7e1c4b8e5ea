import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { forward } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { centredLogProbs, ensureLlama } from '../llama/llama.ts';
import { f32, type MetadataValue } from '../support/models/gguf-writer.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { temporaryFile } from '../support/temporary-file.ts';
import { byTier, TIER } from '../support/tier.ts';
import { NMSE } from '../support/tolerances.ts';

if (TIER !== 'change') beforeAll(ensureLlama, 300_000);

/** YaRN from an original context of 32 tokens. */
const YARN = (name: string): Record<string, MetadataValue> => ({
  [`${name}.rope.scaling.type`]: 'yarn',
  [`${name}.rope.scaling.factor`]: f32(8),
  [`${name}.rope.scaling.original_context_length`]: 32,
});

const MODELS: Record<string, Omit<TinyModelOptions, 'type' | 'seed'>> = {
  'llama, 4 heads over 2': { architecture: 'llama' },
  'llama, 4 heads over 4': { architecture: 'llama', numKvHeads: 4 },
  'llama, 4 heads over 1': { architecture: 'llama', numKvHeads: 1, numLayers: 3 },
  'llama, untied': { architecture: 'llama', tied: false },
  "llama, Llama 3's frequencies": { architecture: 'llama', ropeFreqs: true, ropeTheta: 500_000 },
  'llama, linear scaling': { architecture: 'llama', ropeLinearScale: 4 },
  'llama, heads wider than hidden / heads': { architecture: 'llama', headDim: 96, numHeads: 3, numKvHeads: 1 },
  'llama, heads of 16': { architecture: 'llama', headDim: 16, numHeads: 12, numKvHeads: 6 },
  'llama, odd sizes': { architecture: 'llama', hiddenSize: 96, intermediateSize: 224, numHeads: 3, numKvHeads: 3 },
  'llama, SentencePiece': { architecture: 'llama', tokenizer: 'llama' },
  qwen2: { architecture: 'qwen2', ropeTheta: 1e6 },
  'qwen2, untied, 4 heads over 1': { architecture: 'qwen2', tied: false, numKvHeads: 1 },
  qwen3: { architecture: 'qwen3' },
  'qwen3, heads of 128': { architecture: 'qwen3', headDim: 128, numHeads: 2, numKvHeads: 1, tied: false },
  granite: { architecture: 'granite' },
  'granite, untied, 4 heads over 1': { architecture: 'granite', tied: false, numKvHeads: 1 },
  'granite, not rotated': { architecture: 'granite', metadata: { 'granite.rope.scaling.finetuned': false } },
  // Deeper, so that some layers are not rotated. At the default gain, that many layers amplify the cache's rounding too far.
  smollm3: { architecture: 'smollm3', numLayers: 5, attentionGain: 1, ropeTheta: 2e6 },
  'smollm3, untied, 4 heads over 4': {
    architecture: 'smollm3',
    numLayers: 4,
    attentionGain: 1,
    tied: false,
    numKvHeads: 4,
  },
  // The text is longer than the original contexts.
  // Layers without rotation are not scaled as rotations are.
  'smollm3, YaRN': { architecture: 'smollm3', numLayers: 5, attentionGain: 1, metadata: YARN('smollm3') },
  'granite, not rotated, YaRN': {
    architecture: 'granite',
    metadata: { ...YARN('granite'), 'granite.rope.scaling.finetuned': false },
  },
  'llama, YaRN': { architecture: 'llama', metadata: YARN('llama') },
  'qwen2, YaRN with its factors': {
    architecture: 'qwen2',
    metadata: { ...YARN('qwen2'), 'qwen2.rope.scaling.attn_factor': f32(0.9) },
  },
  phi3: { architecture: 'phi3', numLayers: 3, attentionGain: 1 },
  'phi3, LongRoPE, heads rotated in part': {
    architecture: 'phi3',
    hiddenSize: 128,
    headDim: 32,
    rotaryDim: 24,
    shortContext: 32,
    attentionGain: 1,
  },
  'phi3, LongRoPE within the original context': {
    architecture: 'phi3',
    hiddenSize: 128,
    headDim: 32,
    rotaryDim: 24,
    shortContext: 256,
    attentionGain: 1,
  },
  'mistral3, scores by position': {
    architecture: 'mistral3',
    numLayers: 3,
    attentionGain: 1,
    metadata: {
      ...YARN('mistral3'),
      'mistral3.rope.scaling.yarn_log_multiplier': f32(1),
      'mistral3.attention.temperature_scale': f32(0.3),
    },
  },
  lfm2: { architecture: 'lfm2', numLayers: 5, attentionGain: 1, ropeTheta: 1e6 },
  'lfm2, odd sizes, a convolution over four': {
    architecture: 'lfm2',
    numLayers: 4,
    attending: [1, 2],
    taps: 4,
    hiddenSize: 96,
    intermediateSize: 224,
    numHeads: 3,
    numKvHeads: 1,
    attentionGain: 1,
  },
  qwen35: {
    architecture: 'qwen35',
    numLayers: 4,
    rotaryDim: 16,
    attentionGain: 1,
    ropeTheta: 1e6,
  },
  'qwen35, heads of 256, as many value heads as key heads': {
    architecture: 'qwen35',
    numLayers: 3,
    attending: [1],
    deltaHeads: [8, 8, 16],
    hiddenSize: 96,
    intermediateSize: 160,
    headDim: 256,
    rotaryDim: 64,
    numHeads: 3,
    numKvHeads: 1,
    attentionGain: 1,
  },
  'qwen35, three value heads a key head': {
    architecture: 'qwen35',
    numLayers: 4,
    attending: [0, 3],
    deltaHeads: [8, 24, 16],
    taps: 3,
    hiddenSize: 64,
    intermediateSize: 96,
    headDim: 32,
    attentionGain: 1,
    tied: false,
  },
  qwen3moe: { architecture: 'qwen3moe', attentionGain: 1, ropeTheta: 1e6 },
  'qwen3moe, odd sizes, 20 experts': {
    architecture: 'qwen3moe',
    numLayers: 3,
    experts: { count: 20, used: 7, intermediateSize: 96 },
    hiddenSize: 96,
    headDim: 32,
    numHeads: 4,
    numKvHeads: 1,
    attentionGain: 1,
    tied: false,
  },
  lfm2moe: { architecture: 'lfm2moe', numLayers: 4, attentionGain: 1, ropeTheta: 1e6 },
  // llama.cpp requires OLMoE to have equally many k and q heads, and a separate output matrix.
  olmoe: { architecture: 'olmoe', numHeads: 4, numKvHeads: 4, attentionGain: 1, tied: false },
  'olmoe, odd sizes, 20 experts': {
    architecture: 'olmoe',
    numLayers: 3,
    experts: { count: 20, used: 7, intermediateSize: 96 },
    hiddenSize: 96,
    numHeads: 3,
    numKvHeads: 3,
    attentionGain: 1,
    tied: false,
  },
  // Nine layers, three with full attention; the last three share keys. The text is several windows long.
  gemma4: {
    architecture: 'gemma4',
    numLayers: 9,
    attentionGain: 1,
    ropeTheta: 1e6,
  },
  'gemma4, heads of 512 and of 256': {
    architecture: 'gemma4',
    numLayers: 9,
    hiddenSize: 64,
    intermediateSize: 96,
    headDim: 512,
    numHeads: 2,
    numKvHeads: 1,
    attentionGain: 1,
    ropeTheta: 1e6,
  },
  // Eight layers, two with full attention. The text is several windows long.
  gemma3: {
    architecture: 'gemma3',
    numLayers: 8,
    attentionGain: 1,
    ropeTheta: 1e6,
  },
  'gemma3, heads of 256, window over pages': {
    architecture: 'gemma3',
    numLayers: 7,
    hiddenSize: 96,
    intermediateSize: 160,
    headDim: 256,
    numHeads: 4,
    numKvHeads: 1,
    attentionGain: 1,
    ropeTheta: 1e6,
    window: 40,
    ropeLinearScale: 8,
  },
};

/** The first model of each architecture. They share sizes if possible, so that kernels compile once. */
const ONE_OF_EACH = Object.keys(MODELS).filter(
  (name, i, names) => names.findIndex((other) => MODELS[other]?.architecture === MODELS[name]?.architecture) === i,
);

/**
 * llama.cpp checks only how these are read. Kernels are tested with such heads and groups (tests/kernels/attention.test.ts),
 * and get their sizes as in the other models.
 */
const READ_ONLY: ReadonlySet<string> = new Set([
  'llama, 4 heads over 4',
  'llama, 4 heads over 1',
  'llama, heads wider than hidden / heads',
  'llama, heads of 16',
  'llama, SentencePiece',
  'granite, untied, 4 heads over 1',
  'smollm3, untied, 4 heads over 4',
  'qwen35, heads of 256, as many value heads as key heads',
  'olmoe, odd sizes, 20 experts',
  'gemma4, heads of 512 and of 256',
  'gemma3, heads of 256, window over pages',
]);

describe('F32 models against the reference, and llama.cpp', () => {
  test.each(byTier(ONE_OF_EACH, Object.keys(MODELS)))('%s', async (name) => {
    const options = MODELS[name] as (typeof MODELS)[string];
    const bytes = tinyModel({ ...options, type: 'F32', seed: name.length });
    // Longer than two cache pages, and than a prefill batch.
    const tokens = randomTokens(75, 270, name.length);
    const reference = forward(await readReferenceModel([sourceOf(bytes)]), tokens);
    let logits: readonly ArrayLike<number>[] = reference;
    if (!READ_ONLY.has(name)) {
      // The context length that llama.cpp opens the model with: LongRoPE depends on it.
      const engine = await engineUnderTest(bytes, { contextLength: tokens.length + 1 });
      // The last tokens one by one, to compare both the prefill and the decode kernels.
      logits = await logitsOf(engine, tokens, { pieces: [72, 1, 1, 1] });
      expect(nmse(logits, reference)).toBeLessThan(NMSE.reference);
    }
    if (TIER === 'change') return;
    const path = temporaryFile();
    writeFileSync(path, bytes);
    const llama = await centredLogProbs(path, tokens);
    // llama.cpp reads GELU from an f16 table.
    expect(nmse(reference, llama)).toBeLessThan(
      options.architecture.startsWith('gemma') ? NMSE.llamaFloat : NMSE.referenceToLlama,
    );
    expect(nmse(logits, llama)).toBeLessThan(NMSE.llamaFloat);
  });
});
