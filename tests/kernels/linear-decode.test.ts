import { it } from 'vitest';
import { decodeKernel, normThenBias, tokensAtOnce } from '../../src/kernels/linear-decode.ts';
import { destroyMatrix } from '../../src/layers/weight-matrix.ts';
import { linearDecode, type LinearOptions } from '../reference/kernels/linear-decode.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { Random } from '../support/random.ts';
import { expectClose, rms } from '../support/kernels/expect-close.ts';
import { FEW_TYPES, fits, randomMatrix, TYPES } from '../support/kernels/random-matrix.ts';
import {
  ALL_VARIANTS,
  CLASSES,
  describeVariants,
  type Runner,
  SUBGROUP_VARIANTS,
  type Variant,
} from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

const ROWS = [1, 3, 4, 5, 63, 64, 65, 257];
const SOME_ROWS = [1, 5, 65];

/** Types for each variant; sums across invocations do not depend on how a type is decoded. */
function typesOf(variant: Variant): readonly GgmlType[] {
  if (variant.endsWith('f16')) return ['F16'];
  return variant.endsWith('subgroups') ? ['Q4_1'] : byTier(FEW_TYPES, TYPES);
}

interface Case {
  type: GgmlType;
  columns: number;
  rows: number;
  options: LinearOptions;
  /** Outputs before this matrix's, which must not change. */
  rowStart?: number;
  /** Default: 1. A residual has the same number of rows. */
  tokens?: number;
  /** What the device tells of its subgroups; default: the truth. */
  subgroupSizes?: { least: number; most: number };
}

async function check(
  runner: Runner,
  random: Random,
  { type, columns, rows, options, rowStart = 0, tokens = 1, subgroupSizes = runner.device.subgroupSizes }: Case,
): Promise<void> {
  const { norm, bias, gated, residual } = options;
  const device = { ...runner.device, subgroupSizes };
  const { matrix, weights } = await randomMatrix(device, type, rows, columns, random);
  const x = random.normals(tokens * columns, 1, 0.1);
  const outputs = gated ? rows / 2 : rows;
  const above = random.normals(rowStart);
  // Not zero without accumulation: the kernel must overwrite it.
  const before = residual ?? random.normals(tokens * outputs);
  const ofToken = <T extends Float32Array>(values: T, token: number, width: number) =>
    values.subarray(token * width, (token + 1) * width);
  const withAbove = (rowsOf: (token: number) => Iterable<number>) =>
    Array.from({ length: tokens }, (_, token) => [...above, ...rowsOf(token)]).flat();
  const y = runner.upload(Float32Array.from(withAbove((token) => ofToken(before, token, outputs))));
  const input = runner.upload(x);
  const kernel = decodeKernel(device, {
    ...{
      type,
      columns,
      hasBias: bias !== undefined,
      accumulate: residual !== undefined,
      tokens: tokensAtOnce(device, tokens),
    },
    ...(norm && { normEps: norm.eps }),
    ...(gated && { gate: 'silu' as const }),
  });
  const biasValues = bias && Float32Array.of(...random.normals(rowStart), ...bias);
  const normWeight = norm && (biasValues ? normThenBias(norm.weight, biasValues) : norm.weight);
  const bounds = {
    ...matrix.slices[0]?.ranges,
    ...{ x: input, norm_weight: normWeight ? runner.upload(normWeight) : input, y },
    ...(biasValues && !norm && { bias_values: runner.upload(biasValues) }),
  };
  runner.run(
    kernel,
    bounds,
    { outputs, tokens },
    {
      ...{ rowStart, rows, scale: options.scale ?? 1 },
      ...{ tokens, outputWidth: rowStart + outputs },
    },
  );
  // The magnitude of a dot product of such numbers; with a gate it is multiplied once more.
  const inputScale = norm ? rms(norm.weight) : rms(x);
  const product = rms(weights) * inputScale * Math.sqrt(columns);
  const want = withAbove((token) => {
    const own = { ...options, ...(residual && { residual: ofToken(residual, token, outputs) }) };
    return linearDecode(weights, ofToken(x, token, columns), own);
  });
  const magnitude =
    (gated ? product * (product + 1) : product) * Math.abs(options.scale ?? 1) + (residual || bias ? 1 : 0);
  expectClose('linear-decode', await runner.floats(y), want, magnitude);
  destroyMatrix(device, matrix);
}

/** Options do not depend on how a type is decoded: few types have all, since each is a pipeline, which software adapters compile slowly. */
describeVariants(ALL_VARIANTS, (getRunner, variant) => {
  it.each(typesOf(variant))('linear-decode: %s, plain, with norm, gate, residual or bias', async (type) => {
    const random = new Random(3);
    const columnsOf = (columns: number): number => (fits(type, columns) ? columns : 768);
    const normOf = (columns: number) => ({ weight: random.normals(columns, 0.5, 1), eps: 1e-5 });
    const plain = { type, columns: columnsOf(256), options: {} };
    for (const rows of ROWS) await check(getRunner(), random, { ...plain, rows });
    if (!FEW_TYPES.includes(type)) return;
    for (const rows of SOME_ROWS) {
      const [bias, residual] = [random.normals(rows), random.normals(rows)];
      await check(getRunner(), random, { type, columns: columnsOf(576), rows, options: { residual, scale: -1.5 } });
      const narrow = columnsOf(32);
      const normed = { norm: normOf(narrow), bias };
      await check(getRunner(), random, { type, columns: narrow, rows, options: normed, rowStart: 3 });
      const wide = columnsOf(96);
      const gated = { norm: normOf(wide), gated: true };
      await check(getRunner(), random, { type, columns: wide, rows: 2 * rows, options: gated });
    }
  });
});

describeVariants(SUBGROUP_VARIANTS, (getRunner, variant) => {
  const counts = CLASSES.includes(variant) ? byTier([3], [2, 3, 4, 5, 6, 7, 8, 9]) : [3];
  it.each(counts)('linear-decode: %i tokens', async (tokens) => {
    const random = new Random(5);
    const of = { type: 'Q4_K', columns: 768, rows: 66, tokens } as const;
    await check(getRunner(), random, {
      ...of,
      rowStart: 3,
      options: { residual: random.normals(tokens * of.rows), scale: 0.5, bias: random.normals(of.rows) },
    });
    const norm = { weight: random.normals(of.columns, 0.5, 1), eps: 1e-5 };
    await check(getRunner(), random, { ...of, options: { norm, gated: true } });
  });
});

/** Autotune candidates beside the class's default. */
const SHAPES = [
  [256, 64, 2],
  [128, 32, 4],
  [128, 16, 2],
  [64, 16, 4],
  [64, 16, 2],
] as const;

describeVariants(['gpu'], (getRunner) => {
  it.each(byTier(SHAPES.slice(0, 1), SHAPES))(
    'linear-decode: workgroups of %i, %i to a row, %i rows',
    async (decodeWorkgroup, decodeLanes, decodeRows) => {
      const runner = getRunner();
      const { variant } = runner.device;
      runner.device.variant = { ...variant, decodeWorkgroup, decodeLanes, decodeRows };
      const random = new Random(6);
      const norm = { weight: random.normals(2080, 0.5, 1), eps: 1e-5 };
      await check(runner, random, { type: 'Q4_1', columns: 2080, rows: 65, tokens: 2, options: { norm } });
      await check(runner, random, { type: 'Q4_1', columns: 2080, rows: 66, options: { norm, gated: true } });
      runner.device.variant = variant;
    },
  );
});

describeVariants(['gpu'], (getRunner) => {
  // As a browser may tell that does not know the size: subgroups are larger than the least.
  it.each<GgmlType>(byTier(['Q4_1'], ['Q4_1', 'Q2_K', 'Q8_0', 'F16']))(
    'linear-decode gpu: %s on a device that may have subgroups of 4 to 64',
    async (type) => {
      const random = new Random(7);
      const of = { type, subgroupSizes: { least: 4, most: 64 } };
      const isFirst = type === 'Q4_1'; // sizes do not depend on the type
      for (const columns of isFirst ? byTier([768], [768, 4096]) : [768]) {
        const norm = { weight: random.normals(columns, 0.5, 1), eps: 1e-5 };
        for (const tokens of isFirst ? byTier([1], [1, 2, 3, 8]) : [1])
          await check(getRunner(), random, { ...of, columns, rows: 66, tokens, options: { norm, gated: true } });
        await check(getRunner(), random, { ...of, columns, rows: 5, options: { residual: random.normals(5) } });
      }
    },
  );
});

describeVariants(SUBGROUP_VARIANTS, (getRunner, variant) => {
  // Only the `gpu` class divides columns among invocations, by their number.
  const sizes = variant === 'gpu' ? [32, 96, 288, 576, 1024, 2080, 4160] : [96, 2080];
  it.each(byTier([96, 2080], sizes))('linear-decode: %d columns', async (columns) => {
    const random = new Random(4);
    for (const rows of [5, 64]) await check(getRunner(), random, { type: 'Q4_1', columns, rows, options: {} });
  });
});
