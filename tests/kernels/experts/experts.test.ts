import { describe, expect, it } from 'vitest';
import {
  GROUP_TOKENS,
  groupedPlaces,
  groupExpertsKernel,
  routeExpertsKernel,
  sumExpertsKernel,
} from '../../../src/kernels/experts.ts';
import type { Device } from '../../../src/gpu/device.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { ExpertLinear } from '../../../src/layers/experts.ts';
import { Norm } from '../../../src/layers/linear.ts';
import { WeightUpload } from '../../../src/layers/weight-upload.ts';
import { destroyMatrix, type WeightMatrix } from '../../../src/layers/weight-matrix.ts';
import { expertLinear, groupExperts, routeExperts, sumExperts, type Way } from '../../reference/kernels/experts.ts';
import { dequantize } from '../../reference/dequantize.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import { BytesSource } from '../../support/bytes-source.ts';
import { Random } from '../../support/random.ts';
import { expectClose, rms } from '../../support/kernels/expect-close.ts';
import { fits, randomBytes } from '../../support/kernels/random-matrix.ts';
import {
  CLASSES,
  describeVariants,
  type Runner,
  SUBGROUP_VARIANTS,
  type Variant,
} from '../../support/kernels/runner.ts';
import { byTier } from '../../support/tier.ts';

const wordsOf = (ways: readonly Way[]): Uint32Array =>
  Uint32Array.from(ways.flatMap(({ expert, share }) => [expert, new Uint32Array(Float32Array.of(share).buffer)[0]!]));

/** Numbers of experts do not meet how shares are computed: each has one way, and one has all. */
const SHARES = [
  ['softmax', false],
  ['softmax', true],
  ['sigmoid', true],
] as const;

describe('route-experts', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each([
      [1, 1, SHARES.slice(0, 1)],
      [8, 3, SHARES],
      [33, 33, SHARES.slice(1, 2)],
      [64, 8, SHARES.slice(2)],
      [128, 8, SHARES.slice(1, 2)],
      [257, 1, SHARES.slice(2)],
    ])('of %i experts %i', async (count, used, ways) => {
      const random = new Random(count);
      const runner = getRunner();
      const tokens = 5;
      for (const [shares, normalizes] of ways) {
        const scores = random.normals(tokens * count, 3);
        scores.fill(0.5, count, 2 * count); // one token's scores are equal
        scores.fill(90, 2 * count, 2 * count + Math.ceil(count / 2)); // half of another token's scores are far above the others
        const bias = shares === 'sigmoid' ? random.normals(count, 0.2) : undefined;
        const [x, routes] = [runner.upload(scores), runner.empty(tokens * used * 8)];
        runner.run(
          routeExpertsKernel(runner.device, { count, used, shares, normalizes }),
          { x, routes, ...(bias && { expert_bias: runner.upload(bias) }) },
          { tokens },
        );
        const words = new Uint32Array(await runner.read(routes));
        const want = Array.from({ length: tokens }, (_, token) =>
          routeExperts(scores.subarray(token * count, (token + 1) * count), used, { normalizes, bias }),
        ).flat();
        expect([...words].filter((_, i) => i % 2 === 0)).toEqual(want.map(({ expert }) => expert));
        expectClose(
          'route-experts',
          new Float32Array(words.buffer).filter((_, i) => i % 2 === 1),
          want.map(({ share }) => share),
        );
      }
    });
  });
});

describe('group-experts', () => {
  // Software adapters do not sort routes.
  describeVariants(['gpu'], (getRunner) => {
    it.each([
      [1, 1],
      [3, 16],
      [33, 200],
      [300, 77],
      [64, 512],
    ])('of %i experts, %i ways', async (count, ways) => {
      const random = new Random(ways);
      const runner = getRunner();
      // Some experts have many tokens, some one, some none.
      const experts = Array.from({ length: ways }, (_, i) => (i % 3 === 0 ? count - 1 : random.below(count)));
      const size = groupedPlaces(ways, count);
      const places = runner.upload(new Uint32Array(2 * size).fill(7));
      runner.run(
        groupExpertsKernel(runner.device, count),
        { routes: runner.upload(wordsOf(experts.map((expert) => ({ expert, share: 0 })))), places },
        {},
        { ways, places: size },
      );
      const want = groupExperts(experts, count, GROUP_TOKENS).flat();
      const found = [...new Uint32Array(await runner.read(places))];
      expect(found.slice(0, want.length)).toEqual(want);
      expect(found.slice(want.length)).toEqual(
        Array.from({ length: 2 * size - want.length }, (_, i) => (i % 2 === 0 ? 0xffffffff : ways)),
      );
    });
  });

  it('has room for any routes', () => {
    for (const [count, ways] of [
      [1, 1],
      [1, 9],
      [4, 9],
      [16, 15],
      [16, 16],
      [16, 17],
      [3, 100],
    ] as const) {
      // Every expert with tokens has one more than whole groups.
      const alone = Array.from({ length: ways }, (_, way) => Math.min(way, count - 1));
      const shared = Array.from({ length: ways }, (_, way) => way % count);
      for (const experts of [alone, shared])
        expect(groupExperts(experts, count, GROUP_TOKENS).length).toBeLessThanOrEqual(groupedPlaces(ways, count));
    }
  });
});

describe('sum-experts', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each([
      [32, 1],
      [96, 3],
      [2080, 8],
    ])('%i wide, of %i experts', async (width, used) => {
      const random = new Random(width);
      const runner = getRunner();
      const tokens = 5;
      const ways = Array.from({ length: tokens * used }, (_, expert) => ({
        expert,
        share: Math.abs(random.normals(1)[0]!),
      }));
      const [parts, before] = [random.normals(tokens * used * width), random.normals(tokens * width)];
      for (const readsResidual of width === 96 ? [false, true] : [false]) {
        const y = runner.upload(readsResidual ? random.normals(before.length) : before);
        const bounds = {
          x: runner.upload(parts),
          routes: runner.upload(wordsOf(ways)),
          y,
          ...(readsResidual && { before: runner.upload(before) }),
        };
        runner.run(sumExpertsKernel(runner.device, width, used, readsResidual), bounds, { tokens }, { scale: -0.5 });
        expectClose('sum-experts', await runner.floats(y), sumExperts(before, parts, ways, -0.5));
      }
    });
  });
});

interface Case {
  type: GgmlType;
  count: number;
  /** Rows of an expert. */
  rows: number;
  columns: number;
  isGated: boolean;
  /** Tokens are sorted by expert, and several of one expert are computed at once. */
  isGrouped?: boolean;
  /** Bytes of the largest binding; default: the device's. */
  mostBytes?: number;
}

/** The matrix of all experts, and its values. */
async function stack(
  device: Device,
  { type, count, rows, columns, mostBytes }: Case,
  random: Random,
): Promise<{ matrix: WeightMatrix; weights: Float32Array }> {
  const bytes = randomBytes(type, count * rows, columns, random);
  const tensor = {
    name: 'experts',
    shape: [count * rows, columns],
    type,
    bytes: bytes.length,
    offset: 0,
    source: new BytesSource('random', bytes),
  };
  const limits =
    mostBytes === undefined
      ? device.limits
      : { ...device.limits, maxBufferSize: 1 << 24, maxStorageBufferBindingSize: mostBytes };
  const upload = new WeightUpload({ ...device, limits }, new Recorder(device));
  const matrix = await upload.matrix('experts', [{ tensor }], { together: rows });
  await upload.finish();
  upload.destroy();
  return { matrix, weights: dequantize(type, bytes) };
}

async function check(runner: Runner, random: Random, of: Case): Promise<WeightMatrix> {
  const { count, columns, isGated, rows, isGrouped = false } = of;
  const { device } = runner;
  const used = isGated ? 3 : 1;
  // Routes to the first and the last expert, and several to one.
  const experts = [
    0,
    count - 1,
    Math.floor(count / 2),
    ...Array.from({ length: isGrouped ? 36 : 6 }, () => random.below(count)),
  ];
  const { matrix, weights } = await stack(device, of, random);
  const inputs = random.normals((experts.length / used) * columns, 1, 0.1);
  const norm = { weight: random.normals(columns, 0.5, 1), eps: 1e-5 };
  const outputs = isGated ? rows / 2 : rows;
  const [x, y] = [runner.upload(inputs), runner.upload(random.normals(experts.length * outputs))];
  const normed = isGated
    ? new Norm(device, runner.upload(norm.weight), norm.eps, { x, output: runner.empty(inputs.length * 4) })
    : undefined;
  const routed = runner.upload(wordsOf(experts.map((expert) => ({ expert, share: 0 }))));
  const size = groupedPlaces(experts.length, count);
  const places = runner.empty(size * 8);
  if (isGrouped)
    runner.run(
      groupExpertsKernel(device, count),
      { routes: routed, places },
      {},
      { ways: experts.length, places: size },
    );
  const routes = isGrouped ? places : routed;
  const linear = new ExpertLinear(device, {
    matrix,
    count,
    isGrouped,
    routes,
    x,
    y,
    used,
    norm: normed,
    gate: isGated ? 'silu' : undefined,
  });
  linear.record(runner.recorder, experts.length);
  const want = expertLinear(weights, inputs, experts, { count, used, ...(isGated && { norm, gated: true }) });
  const product = rms(weights) * (isGated ? rms(norm.weight) : rms(inputs)) * Math.sqrt(columns);
  // Errors of the gate are multiplied by up, and errors of up by the gate: at least twice the root of their product.
  expectClose(
    'linear-decode',
    await runner.floats(y),
    want,
    isGated ? (i) => product * (product + 1 + 2 * Math.sqrt(Math.abs(want[i]!))) : product,
  );
  destroyMatrix(device, matrix);
  return matrix;
}

/** The kernels decode rows of weights as linear-decode does, whose test has all types; here is each way to pack them. */
function typesOf(variant: Variant): readonly GgmlType[] {
  if (variant.endsWith('subgroups')) return ['Q6_K'];
  const all = ['F32', 'F16', 'Q4_0', 'Q4_1', 'Q8_0', 'Q2_K', 'Q4_K', 'Q6_K', 'MXFP4'] as const;
  return byTier(['F32', 'Q4_K'], variant === 'gpu' ? all : ['F32', 'Q4_1', 'Q4_K', 'Q6_K']);
}
/** Types with all combinations of a norm and gate with sorted routes. */
const COMBINED: readonly GgmlType[] = ['F32', 'Q4_K', 'Q6_K'];

describe('products by expert', () => {
  describeVariants(SUBGROUP_VARIANTS, (getRunner, variant) => {
    it.each(typesOf(variant))('%s, with norm and gate or plain', async (type) => {
      const random = new Random(4);
      const columns = fits(type, 96) ? 96 : 256;
      await check(getRunner(), random, { type, count: 5, rows: 64, columns, isGated: true });
      if (!variant.startsWith('gpu')) {
        await check(getRunner(), random, { type, count: 3, rows: 96, columns, isGated: false });
        return; // software adapters do not sort routes
      }
      if (COMBINED.includes(type)) {
        await check(getRunner(), random, { type, count: 3, rows: 96, columns, isGated: false });
        await check(getRunner(), random, { type, count: 5, rows: 64, columns, isGated: true, isGrouped: true });
      }
      await check(getRunner(), random, { type, count: 3, rows: 96, columns, isGated: false, isGrouped: true });
    });
  });

  describeVariants(CLASSES, (getRunner) => {
    it('in slices of whole experts', async () => {
      const random = new Random(5);
      // A slice holds 512 rows of these, so that two experts of 192 fit.
      const matrix = await check(getRunner(), random, {
        type: 'F32',
        count: 5,
        rows: 192,
        columns: 96,
        isGated: true,
        mostBytes: 512 * 96 * 4,
      });
      if (getRunner().device.variant.lanes > 1)
        await check(getRunner(), random, {
          type: 'F32',
          count: 5,
          rows: 192,
          columns: 96,
          isGated: true,
          mostBytes: 512 * 96 * 4,
          isGrouped: true,
        });
      expect(matrix.slices.map(({ rowStart, rows }) => [rowStart, rows])).toEqual([
        [0, 384],
        [384, 384],
        [768, 192],
      ]);
      const narrow = await check(getRunner(), random, {
        type: 'Q4_0',
        count: 5,
        rows: 64,
        columns: 32,
        isGated: false,
        mostBytes: 256 * 16,
      });
      expect(narrow.slices.map(({ rows }) => rows)).toEqual([256, 64]);
    });

    it('throws with the name of an expert that exceeds a binding', async () => {
      const { device } = getRunner();
      await expect(
        stack(
          device,
          { type: 'F32', count: 2, rows: 320, columns: 32, isGated: false, mostBytes: 256 * 128 },
          new Random(6),
        ),
      ).rejects.toMatchObject({ code: 'over_limit', detail: { field: 'experts' } });
    });
  });
});
