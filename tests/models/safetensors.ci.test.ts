import { describe, expect, test } from 'vitest';
import type { WeightType } from '../../src/weights/quantize.ts';
import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { forward } from '../reference/forward.ts';
import { referenceOf } from '../reference/model.ts';
import { expectedLogits, expectedOf, modelFolder } from '../support/models/safetensors-folder.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { NMSE } from '../support/tolerances.ts';

/**
 * NMSE of the logits. A block of 32 normal weights spans four standard deviations, so that rounding to 16 steps has a
 * relative squared error of 6e-3, to 255 steps 3e-5; times the linears in sequence: nine in one layer, 16 in two.
 */
const BOUNDS: Record<WeightType, [above: number, below: number]> = {
  stored: [0, NMSE.reference],
  F16: [0, 1e-5],
  Q8_0: [1e-6, 1e-3],
  Q4_1: [5e-3, 0.15],
};

const MODELS = [
  'llama',
  'llama3',
  'qwen2',
  'qwen3',
  'granite',
  'smollm3',
  'gemma3',
  'gemma3-images',
  'gemma4',
  'lfm2',
  'qwen35',
  'qwen3moe',
  'lfm2moe',
  'olmoe',
];

describe('logits of a model as saved by transformers match transformers', () => {
  test.each(MODELS)('in the reference: %s', async (model) => {
    const reference = forward(await referenceOf(await openSafetensorsModel(modelFolder(model))), expectedOf(model).ids);
    expect(nmse(reference.slice(-4), expectedLogits(model))).toBeLessThan(NMSE.reference);
  });

  // Of the models whose tensors are stored in another way than in GGUF files: experts one by one, heads of a delta net
  // interleaved, and a model within another.
  test.each<[model: string, weights: readonly WeightType[]]>([
    ['llama', ['stored', 'F16', 'Q8_0', 'Q4_1']],
    ['qwen35', ['stored', 'Q8_0']],
    ['qwen3moe', ['stored', 'Q4_1']],
    ['gemma3-images', ['stored']],
  ])('on the GPU: %s', async (model, types) => {
    for (const weights of types) {
      const [above, below] = BOUNDS[weights];
      const engine = await engineUnderTest(modelFolder(model), { weights });
      const logits = (await logitsOf(engine, expectedOf(model).ids)).slice(-4);
      const error = nmse(logits, expectedLogits(model));
      console.log(`${model}, weights ${weights}: NMSE ${error.toExponential(1)}`);
      expect(error, weights).toBeLessThan(below);
      expect(error, weights).toBeGreaterThanOrEqual(above);
    }
  });
});

test('8 bits per weight by default, 4 if memory is short', async () => {
  const sources = modelFolder('qwen2');
  const bytes = (await engineUnderTest(sources)).memory().total;
  const weights = async (memoryLimitBytes: number) =>
    (await (await engineUnderTest(sources, { memoryLimitBytes })).session()).plan;
  const plan = await weights(Infinity);
  expect(plan.weights).toBe('Q8_0');
  expect((await weights(plan.totalBytes - 1)).weights).toBe('Q4_1');
  await expect(weights(bytes / 10)).rejects.toMatchObject({
    code: 'over_limit',
    detail: { field: 'memoryLimitBytes' },
  });
});
