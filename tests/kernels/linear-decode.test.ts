import { it } from 'vitest';
import { linearDecodeKernel } from '../../src/kernels/linear-decode.ts';
import { destroyMatrix } from '../../src/layers/weight-matrix.ts';
import { linearDecode, type LinearOptions } from '../../src/reference/kernels/linear-decode.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { Random } from '../support/random.ts';
import { expectClose, rms } from '../support/kernels/expect-close.ts';
import { ALL_TYPES, fits, randomMatrix } from '../support/kernels/random-matrix.ts';
import { ALL_VARIANTS, describeVariants, type Runner, SUBGROUP_VARIANTS, type Variant } from '../support/kernels/runner.ts';

const ROWS = [1, 3, 4, 5, 63, 64, 65, 257];
const SOME_ROWS = [1, 5, 65];

const FEW_TYPES: GgmlType[] = ['F32', 'Q4_1', 'Q6_K'];

/** Of each variant; how invocations add up has nothing to do with how a type is decoded. */
function typesOf(variant: Variant): readonly GgmlType[] {
  if (variant.endsWith('f16')) return ['F16'];
  return variant.endsWith('subgroups') ? FEW_TYPES : ALL_TYPES;
}

interface Case {
  type: GgmlType;
  columns: number;
  rows: number;
  options: LinearOptions;
  /** Outputs above this matrix's, which stay as they are. */
  rowStart?: number;
}

async function check(runner: Runner, random: Random, { type, columns, rows, options, rowStart = 0 }: Case): Promise<void> {
  const { norm, bias, gated, residual } = options;
  const { device } = runner;
  const { matrix, weights } = await randomMatrix(device, type, rows, columns, random);
  const x = random.normals(columns, 1, 0.1);
  const outputs = gated ? rows / 2 : rows;
  const above = random.normals(rowStart);
  // Not zero where nothing is accumulated: it must be overwritten.
  const before = residual ?? random.normals(outputs);
  const y = runner.upload(Float32Array.of(...above, ...before));
  const input = runner.upload(x);
  const kernel = linearDecodeKernel(device, {
    ...{ type, columns, hasBias: bias !== undefined, accumulate: residual !== undefined },
    ...(norm && { normEps: norm.eps }),
    ...(gated && { gate: 'silu' as const }),
  });
  const bounds = {
    ...matrix.slices[0]?.planes,
    ...{ x: input, norm_weight: norm ? runner.upload(norm.weight) : input, y },
    ...(bias && { bias_values: runner.upload(Float32Array.of(...random.normals(rowStart), ...bias)) }),
  };
  runner.run(kernel, bounds, { outputs, tokens: 1 }, {
    ...{ rowStart, rows, scale: options.scale ?? 1 },
    ...{ tokens: 1, outputWidth: rowStart + outputs },
  });
  // What a dot product of such numbers is of the order of; with a gate it is multiplied once more.
  const inputScale = norm ? rms(norm.weight) : rms(x);
  const product = rms(weights) * inputScale * Math.sqrt(columns);
  const want = linearDecode(weights, x, options);
  const magnitude = (gated ? product * (product + 1) : product) * Math.abs(options.scale ?? 1) + (residual || bias ? 1 : 0);
  expectClose('linear-decode', await runner.floats(y), Float64Array.of(...above, ...want), magnitude);
  destroyMatrix(device, matrix);
}

/** Each number of columns is a pipeline, which software adapters take a while to compile: every type sees every option once. */
describeVariants(ALL_VARIANTS, (getRunner, variant) => {
  it.each(typesOf(variant))('linear-decode: %s, plain, with norm, gate, residual or bias', async (type) => {
    const random = new Random(3);
    const columnsOf = (columns: number): number => (fits(type, columns) ? columns : 768);
    const normOf = (columns: number) => ({ weight: random.normals(columns, 0.5, 1), eps: 1e-5 });
    const plain = { type, columns: columnsOf(256), options: {} };
    for (const rows of ROWS) await check(getRunner(), random, { ...plain, rows });
    if (variant === 'gpu' && !FEW_TYPES.includes(type)) return;
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

describeVariants(SUBGROUP_VARIANTS, (getRunner) => {
  it.each([32, 96, 288, 576, 1024, 2080])('linear-decode: %d columns', async (columns) => {
    const random = new Random(4);
    for (const rows of [5, 64]) await check(getRunner(), random, { type: 'Q4_1', columns, rows, options: {} });
  });
});
