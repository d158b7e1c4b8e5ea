import { it } from 'vitest';
import { prefillKernel, TILE_TOKENS } from '../../src/kernels/linear-prefill.ts';
import { destroyMatrix } from '../../src/layers/weight-matrix.ts';
import { linearPrefill } from '../reference/kernels/linear-prefill.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { Random } from '../support/random.ts';
import { expectClose, rms } from '../support/kernels/expect-close.ts';
import { ALL_TYPES, FEW_TYPES, fits, randomMatrix, TYPES } from '../support/kernels/random-matrix.ts';
import { describeVariants, HALF_VARIANTS, type Runner, type Variant } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

/** Only the `cpu` class shares loads across subgroups. */
const PREFILL_VARIANTS = [...HALF_VARIANTS, 'cpu, without subgroups'] as const;
const TOKENS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65];

interface Case {
  type: GgmlType;
  columns: number;
  rows: number;
  bias?: Float32Array;
  accumulate?: boolean;
  /** Outputs before and after this matrix's, which must not change. */
  left?: number;
  right?: number;
  /** Default: TOKENS. */
  counts?: readonly number[];
}

/** Multiplies one matrix by batches of all token counts. */
async function check(runner: Runner, random: Random, options: Case): Promise<void> {
  const { type, columns, rows, bias, accumulate = false, left = 0, right = 0, counts = TOKENS } = options;
  const { device } = runner;
  const outputWidth = left + rows + right;
  const { matrix, weights } = await randomMatrix(device, type, rows, columns, random);
  const kernel = prefillKernel(device, { type, columns, accumulate, hasBias: bias !== undefined });
  const most = random.normals(Math.max(...counts) * columns, 1, 0.1);
  const scale = accumulate ? 0.75 : 1;
  const everything = linearPrefill(weights, columns, most, { scale, bias });
  const biasValues = bias && runner.upload(Float32Array.of(...random.normals(left), ...bias, ...random.normals(right)));
  for (const tokens of counts) {
    const padded = Math.ceil(tokens / TILE_TOKENS) * TILE_TOKENS;
    const x = new Float32Array(padded * columns).fill(NaN); // tokens after the last must not change results
    x.set(most.subarray(0, tokens * columns));
    const before = random.normals(padded * outputWidth);
    const y = runner.upload(before);
    const bounds = {
      ...matrix.slices[0]?.ranges,
      x: runner.upload(x),
      y,
      ...(biasValues && { bias_values: biasValues }),
    };
    runner.run(kernel, bounds, { rows, tokens }, { rowStart: left, rows, scale, outputWidth, tokens });
    const want = Float64Array.from(before.subarray(0, tokens * outputWidth), (value, i) => {
      const column = (i % outputWidth) - left;
      if (column < 0 || column >= rows) return value;
      return (everything[Math.floor(i / outputWidth) * rows + column] ?? NaN) + (accumulate ? value : 0);
    });
    const magnitude = rms(weights) * rms(most) * Math.sqrt(columns) + (accumulate || bias ? 1 : 0);
    expectClose('linear-prefill', (await runner.floats(y)).subarray(0, want.length), want, magnitude);
  }
  destroyMatrix(device, matrix);
}

/** Types for each variant; loads of inputs do not depend on how a type is decoded. */
function typesOf(variant: Variant): readonly GgmlType[] {
  if (variant.endsWith('f16')) return variant.startsWith('gpu') ? ['F16', 'Q4_K'] : ['F16'];
  return byTier(FEW_TYPES, variant === 'cpu' || variant === 'gpu' ? TYPES : FEW_TYPES);
}

/** Two pipelines a type: software adapters compile them for seconds, above all without subgroups. */
describeVariants(PREFILL_VARIANTS, (getRunner, variant) => {
  const types = typesOf(variant);

  it.each(types)('linear-prefill: %s', async (type) => {
    const random = new Random(5);
    const bias = random.normals(65);
    const at = [
      [1, 0],
      [3, 7],
      [4, 68],
      [5, 1],
      [64, 8],
      [65, 7],
    ] as const;
    for (const [rows, left] of at) {
      const right = 72 - left - rows;
      const common = { type, columns: 256, rows, left, right };
      await check(getRunner(), random, { ...common, bias: bias.subarray(0, rows) });
      if (['cpu', 'gpu'].includes(variant)) await check(getRunner(), random, { ...common, accumulate: true });
    }
  });

  if (variant !== 'cpu' && variant !== 'gpu') return;
  it.each(byTier([96], [32, 96, 576]))('linear-prefill: %d columns', async (columns) => {
    await check(getRunner(), new Random(6), { type: 'Q4_1', columns, rows: 257 });
  });

  if (variant === 'gpu') {
    // Two blocks; two and a half runs; and only whole runs of sixteen.
    it.each(byTier<GgmlType>(['Q8_0', 'Q4_K'], ALL_TYPES))('linear-prefill: runs of blocks of %s', async (type) => {
      for (const columns of [576, 1280, 1024]) {
        if (fits(type, columns)) await check(getRunner(), new Random(9), { type, columns, rows: 66, counts: [5] });
      }
    });

    const shapes = [
      [128, 32],
      [256, 32],
      [128, 64],
    ] as const;
    it.each(byTier(shapes.slice(0, 1), shapes))(
      'linear-prefill: workgroups of %i, tiles of %i rows',
      async (prefillWorkgroup, tileRows) => {
        const runner = getRunner();
        const own = runner.device.variant;
        runner.device.variant = { ...own, prefillWorkgroup, tileRows };
        await check(runner, new Random(8), { type: 'Q4_K', columns: 256, rows: 130 });
        runner.device.variant = own;
      },
    );
  }

  it('linear-prefill: a whole batch', async () => {
    await check(getRunner(), new Random(7), {
      type: 'Q4_0',
      columns: 64,
      rows: 130,
      counts: [getRunner().device.variant.batchTokens],
    });
  });
});
