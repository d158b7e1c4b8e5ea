import { expect, test } from 'vitest';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';

/** Wide enough for the padding of small vectors to be negligible. */
const SIZES = {
  type: 'Q4_K',
  numLayers: 3,
  hiddenSize: 256,
  intermediateSize: 512,
  headDim: 64,
  neverEnds: true,
} as const;
const MODELS: Record<string, TinyModelOptions> = {
  llama: { ...SIZES, architecture: 'llama', seed: 80 },
  qwen3: { ...SIZES, architecture: 'qwen3', seed: 81 },
  phi3: { ...SIZES, architecture: 'phi3', seed: 82 },
  gemma3: { ...SIZES, architecture: 'gemma3', tokenizer: 'llama', seed: 83 },
  lfm2: { ...SIZES, architecture: 'lfm2', attending: [1], seed: 84 },
  qwen35: { ...SIZES, architecture: 'qwen35', attending: [1], deltaHeads: [4, 8, 32], rotaryDim: 16, seed: 85 },
  qwen3moe: { ...SIZES, architecture: 'qwen3moe', experts: { count: 10, used: 3, intermediateSize: 256 }, seed: 74 },
  lfm2moe: {
    ...SIZES,
    architecture: 'lfm2moe',
    attending: [1],
    experts: { count: 10, used: 3, intermediateSize: 256 },
    seed: 86,
  },
};

test.each(Object.entries(MODELS))('uploaded weights of %s match the file', async (_, options) => {
  const bytes = tinyModel(options);
  const engine = await engineUnderTest(bytes);
  const { plan } = await engine.session();
  const inFile = [...checkTensors(await openGguf([sourceOf(bytes)]), plan.config).values()].reduce(
    (sum, tensor) => sum + tensor.bytes,
    0,
  );
  const { weights } = engine.memory();
  expect(weights).toBeGreaterThan(0.9 * inFile);
  expect(weights).toBeLessThan(1.05 * inFile);
});
