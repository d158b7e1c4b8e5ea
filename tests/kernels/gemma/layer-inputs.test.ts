import { it } from 'vitest';
import { capLogitsKernel, takeInputKernel } from '../../../src/kernels/element-wise.ts';
import { ACTIVATIONS } from '../../reference/operations.ts';
import { expectClose } from '../../support/kernels/expect-close.ts';
import { CLASSES, describeVariants } from '../../support/kernels/runner.ts';
import { Random } from '../../support/random.ts';

describeVariants(CLASSES, (getRunner) => {
  it.each([
    [32, 1, 0, 1],
    [32, 3, 2, 7],
    [256, 5, 3, 33],
    [160, 2, 1, 64],
  ])('gathers %i inputs of each of %i layers, for layer %i, of %i tokens', async (width, numLayers, layer, tokens) => {
    const runner = getRunner();
    const random = new Random(width + layer);
    for (const activation of ['silu', 'gelu'] as const) {
      const gates = random.normals(tokens * width, 4);
      const inputs = random.normals(tokens * numLayers * width);
      const x = runner.upload(gates);
      runner.run(
        takeInputKernel(runner.device, width, numLayers, activation),
        { x, inputs: runner.upload(inputs) },
        { tokens },
        { start4: (layer * width) / 4 },
      );
      const want = Float64Array.from(
        gates,
        (gate, i) =>
          ACTIVATIONS[activation](gate) * inputs[(Math.floor(i / width) * numLayers + layer) * width + (i % width)]!,
      );
      expectClose('gated-activation', await runner.floats(x), want);
    }
  });

  it.each([
    [1, 1],
    [63, 3],
    [64, 2],
    [325, 16],
  ])('caps %i logits of %i tokens', async (vocabSize, tokens) => {
    const runner = getRunner();
    // Some logits, up to the largest float, are so large that tanh is 1.
    const logits = new Random(vocabSize)
      .normals(tokens * vocabSize, 30)
      .map((logit, i) => (i % 11 === 3 ? logit * 1e35 : logit));
    const buffer = runner.upload(logits);
    runner.run(capLogitsKernel(runner.device, vocabSize, 30), { logits: buffer }, { tokens });
    expectClose(
      'gated-activation',
      await runner.floats(buffer),
      Float64Array.from(logits, (logit) => 30 * Math.tanh(logit / 30)),
    );
  });
});
