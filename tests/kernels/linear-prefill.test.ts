import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Device } from '../../src/gpu/device.ts';
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
  /** Default: any. */
  inputs?: (count: number) => Float32Array;
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
  const { inputs = (count) => random.normals(count, 1, 0.1) } = options;
  const most = inputs(Math.max(...counts) * columns);
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

/** Inputs that 8 bits with a scale for each block of 32 hold exactly; a block of zeros too. */
function packable(random: Random, count: number): Float32Array {
  const inputs = new Float32Array(count);
  for (let block = 0; block < count / 32; block++) {
    const step = block % 5 === 4 ? 0 : 2 ** (random.below(12) - 9);
    const largest = random.below(32);
    for (let i = 0; i < 32; i++) {
      const number = i === largest ? (block % 2 ? -127 : 127) : random.below(255) - 127;
      inputs[32 * block + i] = number * step;
    }
  }
  return inputs;
}

/** Inputs rounded to 8 bits with a scale for each block of 32. */
function packed(inputs: Float32Array): Float32Array {
  return inputs.map((value, i) => {
    const block = inputs.subarray(i - (i % 32), i - (i % 32) + 32);
    const step = block.reduce((most, one) => Math.max(most, Math.abs(one)), 0) / 127;
    return Math.round(value / step) * step;
  });
}

/** A type for each way to pack quants and scales. */
const PACKINGS: readonly GgmlType[] = ['F32', 'F16', 'Q4_0', 'Q4_1', 'Q8_0', 'Q2_K', 'Q4_K', 'Q6_K', 'MXFP4'];

/** Types for each variant; loads of inputs do not depend on how a type is decoded. On `gpu` the other types have runs of blocks. */
function typesOf(variant: Variant): readonly GgmlType[] {
  if (variant.endsWith('f16')) return variant.startsWith('gpu') ? ['F16', 'Q4_K'] : ['F16'];
  if (variant.endsWith('subgroups')) return ['Q4_1'];
  return byTier(FEW_TYPES, variant === 'cpu' ? TYPES : PACKINGS);
}

describeVariants(PREFILL_VARIANTS, (getRunner, variant) => {
  const types = typesOf(variant);
  const isClass = variant === 'cpu' || variant === 'gpu';

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
      if (isClass && FEW_TYPES.includes(type)) await check(getRunner(), random, { ...common, accumulate: true });
    }
  });

  if (isClass)
    it.each(byTier([96], [32, 96, 576]))('linear-prefill: %d columns', async (columns) => {
      await check(getRunner(), new Random(6), { type: 'Q4_1', columns, rows: 257 });
    });

  if (variant === 'gpu') {
    // Two blocks; two and a half runs; and only whole runs of sixteen.
    it.each(byTier<GgmlType>(['Q8_0', 'Q4_K'], ALL_TYPES))('linear-prefill: runs of blocks of %s', async (type) => {
      for (const columns of PACKINGS.includes(type) ? [576, 1280, 1024] : [1280]) {
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

  if (variant === 'gpu') {
    describe('inputs rounded to 8 bits', () => {
      const own = (): Device => getRunner().device;
      let before: Device['variant'];
      beforeEach(() => {
        before = own().variant;
        own().variant = { ...before, roundsInputs: true };
      });
      afterEach(() => void (own().variant = before));

      it.each<GgmlType>(['Q4_0', 'Q4_1', 'Q4_K', 'Q8_0'])('%s: sums of integers', async (type) => {
        expect(prefillKernel(own(), { type, columns: 256 }).name).toBe('linear-packed');
        const random = new Random(12);
        const inputs = (count: number): Float32Array => packable(random, count);
        const common = { type, columns: 256, inputs, counts: [1, 9, 63, 65] };
        await check(getRunner(), random, { ...common, rows: 65, left: 3, right: 4, bias: random.normals(65) });
        await check(getRunner(), random, { ...common, rows: 130, accumulate: true });
        if (type !== 'Q4_K') await check(getRunner(), random, { ...common, columns: 96, rows: 20 });
      });

      it('any inputs: the product of what they are rounded to', async () => {
        const random = new Random(13);
        const runner = getRunner();
        const { device } = runner;
        const [columns, rows, tokens] = [512, 64, 32];
        const { matrix, weights } = await randomMatrix(device, 'Q8_0', rows, columns, random);
        const x = random.normals(tokens * columns, 1, 0.1);
        const y = runner.empty(tokens * rows * 4);
        const kernel = prefillKernel(device, { type: 'Q8_0', columns });
        const bounds = { ...matrix.slices[0]?.ranges, x: runner.upload(x), y };
        const params = { rowStart: 0, rows, scale: 1, outputWidth: rows, tokens };
        runner.run(kernel, bounds, { rows, tokens }, params);
        const got = await runner.floats(y);
        const magnitude = rms(weights) * rms(x) * Math.sqrt(columns);
        expectClose('linear-prefill', got, linearPrefill(weights, columns, packed(x)), magnitude);
        const exact = linearPrefill(weights, columns, x);
        const error = rms(got.map((value, i) => value - exact[i]!)) / rms(exact);
        expect(error).toBeGreaterThan(1e-3);
        expect(error).toBeLessThan(1e-2);
        destroyMatrix(device, matrix);
      });

      it('other types, and products with adapters, stay exact', () => {
        const adds = { first: 0, widths: [64] };
        const names = [
          prefillKernel(own(), { type: 'Q6_K', columns: 256 }),
          prefillKernel(own(), { type: 'Q4_1', columns: 256, adds }),
        ].map(({ name }) => name);
        expect(names).toEqual(['linear-tiled', 'linear-tiled']);
      });
    });
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
