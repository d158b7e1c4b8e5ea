import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { forward } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { answer } from '../support/answer.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { gpuWithBindings } from '../support/gpu/small-bindings.ts';
import { NMSE } from '../support/tolerances.ts';

/** 256 rows of 512 columns in Q8_0: the smallest slice. */
const BINDING_BYTES = 256 * 512;
/** A model whose activations fit such a binding. */
const SMALL = { hiddenSize: 512, headDim: 16, intermediateSize: 128, vocabSize: 1101, type: 'Q8_0', seed: 51 } as const;
const TOKENS = randomTokens(70, 1101, 9);
const PIECES = [68, 1, 1];

async function both(options: Partial<TinyModelOptions>): Promise<{ whole: Float32Array[]; split: Float32Array[] }> {
  const bytes = tinyModel({ architecture: 'llama', ...SMALL, ...options });
  const [whole, split] = [
    await engineUnderTest(bytes, { contextLength: 128 }),
    await engineUnderTest(bytes, { contextLength: 128, gpu: gpuWithBindings(BINDING_BYTES) }),
  ];
  return {
    whole: await logitsOf(whole, TOKENS, { pieces: PIECES }),
    split: await logitsOf(split, TOKENS, { pieces: PIECES }),
  };
}

test('an embedding and an output in five slices give the same logits, bit for bit', async () => {
  const { whole, split } = await both({ tied: false });
  expect(split).toEqual(whole);
});

test('an odd number of scales per row, with tied embeddings: equal logits, bit for bit', async () => {
  const { whole, split } = await both({ type: 'Q5_0', hiddenSize: 480, numHeads: 6, numKvHeads: 2 });
  expect(split).toEqual(whole);
});

test('gate and up in two slices, which one dispatch cannot compute: equal logits up to rounding', async () => {
  const { whole, split } = await both({ intermediateSize: 192 });
  const difference = nmse(split, whole);
  expect(difference).toBeLessThan(NMSE.sameModel);
});

test('experts in two slices, none of them split: equal logits, bit for bit', async () => {
  const { whole, split } = await both({
    architecture: 'qwen3moe',
    hiddenSize: 128,
    experts: { count: 8, used: 2, intermediateSize: 96 },
  });
  expect(split).toEqual(whole);
});

test('buffers that slices cannot make small enough are refused, and the error states the sizes', async () => {
  const refused = (options: Partial<TinyModelOptions>, field: string, reason: RegExp): Promise<void> => {
    const bytes = tinyModel({ architecture: 'llama', ...SMALL, ...options });
    const open = () => engineUnderTest(bytes, { gpu: gpuWithBindings(BINDING_BYTES) });
    return expectError(open, 'over_limit', { file: 'tiny.gguf', field, reason });
  };
  await refused(
    { contextLength: 2048 },
    'kv cache of a layer',
    /^needs 1 MB at a context of 2048 tokens, but a buffer holds 0 MB on this device$/,
  );
  await refused({ type: 'F32', contextLength: 128 }, 'token_embd.weight', /256 rows of 512 columns in F32/);
  const experts = { count: 2, used: 1, intermediateSize: 160 };
  await refused(
    { architecture: 'qwen3moe', type: 'F32', hiddenSize: 128, contextLength: 128, experts },
    'blk.0.ffn_gate_exps.weight',
    /320 rows of 128 columns in F32/,
  );
});

test('a vocabulary that one dispatch has no rows for, as Gemma has', async () => {
  const vocabSize = 262_144;
  const bytes = tinyModel({
    architecture: 'gemma3',
    type: 'Q8_0',
    seed: 5,
    numLayers: 1,
    hiddenSize: 32,
    intermediateSize: 32,
    headDim: 16,
    vocabSize,
  });
  const engine = await engineUnderTest(bytes);
  const tokens = [5, vocabSize - 1, 261_900, 100, 261_887, 261_888];
  expect(
    nmse(await logitsOf(engine, tokens), forward(await readReferenceModel([sourceOf(bytes)]), tokens)),
  ).toBeLessThan(NMSE.reference);
  // Sampled and then computed: greedily, and with filters over the whole vocabulary.
  for (const token of [7, 261_900, vocabSize - 1]) {
    for (const sampling of [GREEDY, { ...GREEDY, temperature: 1, topK: 40, topP: 0.9, seed: 3 }]) {
      const logitBias = new Map([[token, 1000]]);
      const { tokens: sampled } = await answer(
        engine.complete('a', { sampling: { ...sampling, logitBias }, stop: [], maxTokens: 3 }),
      );
      expect(sampled).toEqual([token, token, token]);
    }
  }
});
