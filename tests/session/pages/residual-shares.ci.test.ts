import { expect, test } from 'vitest';
import { quantile, randomWords } from '../../../src/util/numbers.ts';
import { readReferenceModel } from '../../reference/model.ts';
import { engineUnderTest, sourceOf } from '../../support/engine-under-test.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';

const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);

test.each([
  ['llama', 'cpu'],
  ['llama', 'gpu'],
  ['granite', 'cpu'],
] as const)(
  'of the first layer, ‖Wo‖² beside the square of an embedding: %s, class %s',
  async (architecture, deviceClass) => {
    const bytes = tinyModel({ architecture, type: 'F32', seed: 71 });
    const { config, tensors } = await readReferenceModel([sourceOf(bytes)]);
    const { hiddenSize, numHeads, headDim, numLayers, vocabSize, embeddingScale, residualScale } = config;
    const embedding = tensors.get('token_embd.weight') as Float32Array;
    // The tokens of the measurement, without the first four.
    const tokens = [...randomWords(16).subarray(4)].map((word) => word % vocabSize);
    const sizes = tokens.map(
      (token) => squares(embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize)) * embeddingScale ** 2,
    );
    const wanted =
      (squares(tensors.get('blk.0.attn_output.weight') as Float32Array) * residualScale ** 2) /
      (numHeads * headDim * quantile(sizes, 0.5));
    const { residualShares } = (await (await engineUnderTest(bytes, { deviceClass })).session()).pageChanges;
    expect(residualShares).toHaveLength(numLayers);
    // Eight samples with random signs estimate a norm to about a tenth.
    expect(residualShares[0]! / wanted).toBeGreaterThan(0.8);
    expect(residualShares[0]! / wanted).toBeLessThan(1.25);
    expect(residualShares[1]).toBeGreaterThan(0);
  },
);

test('a context too short for policies has no residual shares', async () => {
  const engine = await engineUnderTest(tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 96 }));
  expect((await engine.session()).pageChanges.residualShares).toEqual([]);
});
