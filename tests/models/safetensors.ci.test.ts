import { afterAll, describe, expect, test } from 'vitest';
import type { WeightType } from '../../src/weights/quantize.ts';
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

describe.each([
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
])('logits of %s as saved by transformers match transformers', (model) => {
  const { ids } = expectedOf(model);
  const figures: string[] = [];
  afterAll(() => console.log(`${model}: NMSE ${figures.join(', ')}`));

  test.each(Object.entries(BOUNDS) as [WeightType, [number, number]][])(
    'weights %s',
    async (weights, [above, below]) => {
      const engine = await engineUnderTest(modelFolder(model), { weights });
      const logits = (await logitsOf(engine, ids)).slice(-4);
      const error = nmse(logits, expectedLogits(model));
      figures.push(`${weights} ${error.toExponential(1)}`);
      expect(error).toBeLessThan(below);
      expect(error).toBeGreaterThanOrEqual(above);
    },
  );
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
