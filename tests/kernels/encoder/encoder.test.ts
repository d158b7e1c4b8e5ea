import { describe, expect, it } from 'vitest';
import {
  activateKernel,
  addPositionsKernel,
  attentionTextsKernel,
  layerNormKernel,
  poolTextsKernel,
  rotateHeadsKernel,
} from '../../../src/kernels/encoder.ts';
import { ropeTable } from '../../../src/models/rope-table.ts';
import { attendTexts, geluOf, layerNorm, rotateHeads } from '../../reference/kernels/encoder.ts';
import { expectClose } from '../../support/kernels/expect-close.ts';
import { CLASSES, describeVariants } from '../../support/kernels/runner.ts';
import { Random } from '../../support/random.ts';
import { byTier } from '../../support/tier.ts';

/** Each token's position, its text's first token, and the number of the text's tokens. */
function tableOf(lengths: readonly number[]): Uint32Array {
  let first = 0;
  return Uint32Array.from(
    lengths.flatMap((length) => {
      const rows = Array.from({ length }, (_, i) => [0, i, first, length]).flat();
      first += length;
      return rows;
    }),
  );
}

describeVariants(CLASSES, (getRunner, variant) => {
  describe('layer-norm', () => {
    it.each(byTier([384], variant === 'cpu' ? [32, 384] : [32, 124, 128, 132, 1024]))(
      'norms rows of %d',
      async (width) => {
        for (const tokens of width === 384 || width === 132 ? [1, 7, 8, 9, 33] : [9]) {
          for (const [std, mean, eps] of [
            [1, 0, 1e-12],
            [0.01, 5, 1e-12],
            [100, -300, 1e-5],
          ] as const) {
            const random = new Random(width + tokens);
            const x = random.normals(tokens * width, std, mean);
            const [weight, bias] = [random.normals(width, 1, 1), random.normals(width)];
            const runner = getRunner();
            const buffer = runner.upload(x);
            runner.run(
              layerNormKernel(runner.device, width, eps),
              { x: buffer, norm_weight: runner.upload(weight), norm_bias: runner.upload(bias) },
              { tokens },
              { tokens },
            );
            // Differences of large, close numbers have fewer digits.
            const lost = 1 + Math.abs(mean) / std;
            expectClose('layer-norm', await runner.floats(buffer), layerNorm(x, weight, bias, eps), 2 * lost);
          }
        }
      },
    );

    it('does not write beyond its tokens', async () => {
      const runner = getRunner();
      const x = new Random(3).normals(5 * 64);
      const buffer = runner.upload(x);
      runner.run(
        layerNormKernel(runner.device, 64, 1e-5),
        { x: buffer, norm_weight: runner.upload(x), norm_bias: runner.upload(x) },
        { tokens: 3 },
        { tokens: 3 },
      );
      expect((await runner.floats(buffer)).slice(3 * 64)).toEqual(x.slice(3 * 64));
    });
  });

  it('add-positions adds the row of each token', async () => {
    for (const width of [32, 124, 260]) {
      const random = new Random(width);
      const [x, positions] = [random.normals(9 * width), random.normals(6 * width)];
      const runner = getRunner();
      const buffer = runner.upload(x);
      runner.run(
        addPositionsKernel(runner.device, width),
        { batch_table: runner.upload(tableOf([3, 6])), positions: runner.upload(positions), x: buffer },
        { tokens: 9 },
      );
      const want = x.map((value, i) => value + positions[i < 3 * width ? i : i - 3 * width]!);
      expect(await runner.floats(buffer)).toEqual(want);
    }
  });

  it('activate is GELU with the error function, also for large inputs', async () => {
    const width = 260;
    const x = new Random(width).normals(3 * width, 2);
    x.set([0, -0, 1e-6, -1e-6, -3, 3, -5, 5, -8, 8, -13, 13, -1e4, 1e4, -1e30, 1e30]);
    const runner = getRunner();
    const buffer = runner.upload(x);
    runner.run(activateKernel(runner.device, width), { x: buffer }, { tokens: 3 });
    expectClose('activate', await runner.floats(buffer), Float64Array.from(x, geluOf), (i) => Math.abs(x[i]!) + 1e-6);
    expect(geluOf(1)).toBeCloseTo(0.8413447460685429, 12);
    expect(geluOf(-5)).toBeCloseTo(-5 * 2.866515718791939e-7, 15);
  });

  describe('attention-texts', () => {
    it.each(
      byTier<readonly [number, number]>(
        [[3, 32]],
        [
          [3, 32],
          [2, 64],
          [1, 128],
        ],
      ),
    )('%d heads of %d: texts side by side, each alone', async (numHeads, headDim) => {
      for (const lengths of [[1], [2, 1, 5], [33, 64, 3], [130]]) {
        const tokens = lengths.reduce((sum, length) => sum + length, 0);
        const qkv = new Random(tokens).normals(tokens * 3 * numHeads * headDim);
        const runner = getRunner();
        const y = runner.empty((qkv.length / 3) * 4);
        runner.run(
          attentionTextsKernel(runner.device, { numHeads, headDim }),
          { batch_table: runner.upload(tableOf(lengths)), qkv: runner.upload(qkv), y },
          { tokens },
          { tokens },
        );
        expectClose('attention-texts', await runner.floats(y), attendTexts(qkv, lengths, { numHeads, headDim }));
      }
    });

    it.each(
      byTier<readonly [number, number, number]>(
        [[4, 2, 16]],
        [
          [3, 1, 32],
          [4, 2, 16],
          [3, 1, 256],
        ],
      ),
    )(
      '%d heads of queries on %d of keys, of %d: within reach before and behind',
      async (numHeads, numKvHeads, headDim) => {
        // The reach is a constant of the kernel.
        for (const reach of headDim === 16 ? [1, 40, undefined] : [6]) {
          const lengths = [1, 50, 2, 90];
          const tokens = 143;
          const heads = { numHeads, numKvHeads, headDim, attentionScale: 0.2, ...(reach !== undefined && { reach }) };
          const qkv = new Random(tokens).normals(tokens * (numHeads + 2 * numKvHeads) * headDim);
          const runner = getRunner();
          const y = runner.empty(tokens * numHeads * headDim * 4);
          runner.run(
            attentionTextsKernel(runner.device, heads),
            { batch_table: runner.upload(tableOf(lengths)), qkv: runner.upload(qkv), y },
            { tokens },
            { tokens },
          );
          expectClose('attention-texts', await runner.floats(y), attendTexts(qkv, lengths, heads));
        }
      },
    );

    it('very different scores give finite outputs', async () => {
      const [numHeads, headDim, tokens] = [1, 32, 5];
      const qkv = new Random(1).normals(tokens * 3 * headDim, 60);
      const runner = getRunner();
      const y = runner.empty((qkv.length / 3) * 4);
      runner.run(
        attentionTextsKernel(runner.device, { numHeads, headDim }),
        { batch_table: runner.upload(tableOf([tokens])), qkv: runner.upload(qkv), y },
        { tokens },
        { tokens },
      );
      expectClose(
        'attention, scores of 1e4',
        await runner.floats(y),
        attendTexts(qkv, [tokens], { numHeads, headDim }),
      );
    });
  });

  it.each(
    byTier<readonly [number, number, number]>(
      [[9, 3, 16]],
      [
        [3, 1, 32],
        [9, 3, 16],
        [3, 1, 256],
      ],
    ),
  )(
    'rotate-heads norms and rotates %d heads of queries and %d of keys, of %d, by their positions',
    async (numHeads, numKvHeads, headDim) => {
      const tokens = 8;
      const random = new Random(headDim);
      const qkv = random.normals(tokens * (numHeads + 2 * numKvHeads) * headDim, 3);
      const weights = random.normals(2 * headDim, 0.5, 1);
      const [eps, theta] = [1e-6, 10_000];
      const runner = getRunner();
      const buffer = runner.upload(qkv);
      const rope = runner.upload(ropeTable({ headDim, ropeTheta: theta }, 6));
      runner.run(
        rotateHeadsKernel(runner.device, { numHeads, numKvHeads, headDim, rmsNormEps: eps }),
        { batch_table: runner.upload(tableOf([6, 2])), rope, norm_weights: runner.upload(weights), qkv: buffer },
        { tokens },
      );
      expectClose(
        'rotate-heads',
        await runner.floats(buffer),
        rotateHeads(qkv, [0, 1, 2, 3, 4, 5, 0, 1], weights, { numHeads, numKvHeads, headDim, eps, theta }),
      );
    },
  );

  it('pool-texts is the mean of each span', async () => {
    const width = 132;
    const x = new Random(5).normals(12 * width);
    const spans = [
      [0, 5],
      [5, 1],
      [6, 6],
    ] as const;
    const runner = getRunner();
    const pooled = runner.empty(3 * width * 4);
    runner.run(
      poolTextsKernel(runner.device, width),
      { spans: runner.upload(Uint32Array.from(spans.flat())), x: runner.upload(x), pooled },
      { texts: 3 },
    );
    const want = spans.flatMap(([first, count]) =>
      Array.from(
        { length: width },
        (_, c) =>
          Array.from({ length: count }, (__, i) => x[(first + i) * width + c]!).reduce((sum, value) => sum + value, 0) /
          count,
      ),
    );
    expectClose('pool-texts', await runner.floats(pooled), want);
  });
});
