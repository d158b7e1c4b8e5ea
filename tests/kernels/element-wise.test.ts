import { describe, expect, it } from 'vitest';
import { embedKernel, gatedActivationKernel, normQkKernel, rmsNormKernel } from '../../src/kernels/element-wise.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { destroyMatrix } from '../../src/layers/weight-matrix.ts';
import { pageEntry, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { shortConvKernel } from '../../src/kernels/recurrent.ts';
import { embed } from '../reference/kernels/embed.ts';
import { rmsNorm } from '../reference/kernels/rms-norm.ts';
import { type PlacedToken, shortConv } from '../reference/kernels/short-conv.ts';
import { gatedActivation } from '../reference/kernels/gated-activation.ts';
import { Random } from '../support/random.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { fits, randomMatrix, TYPES } from '../support/kernels/random-matrix.ts';
import { pageOf, tableOf } from '../support/kernels/pages.ts';
import { CLASSES, describeVariants, HALF_VARIANTS, SUBGROUP_VARIANTS } from '../support/kernels/runner.ts';

describe('embed', () => {
  describeVariants(HALF_VARIANTS, (getRunner, variant) => {
    const types = variant.endsWith('f16') ? (['F16'] as const) : TYPES;
    it.each(types)('gives the rows of %s', async (type) => {
      const random = new Random(1);
      for (const columns of [32, 96, 256, 2304].filter((columns) => fits(type, columns))) {
        const runner = getRunner();
        const rows = 65;
        const { matrix, weights } = await randomMatrix(runner.device, type, rows, columns, random);
        const ids = Uint32Array.of(0, rows - 1, 7, 7, ...Array.from({ length: 13 }, () => random.below(rows)));
        // Token ids are not in batch order.
        const table = batchTable(
          Array.from(ids, (_, t) => ({ place: ids.length - 1 - t, position: 0, firstPage: 0, page: 0 })),
        );
        const scale = columns === 256 ? 12 : 1;
        const y = runner.empty(ids.length * columns * 4);
        const [slice] = matrix.slices;
        runner.run(
          embedKernel(runner.device, type, columns, scale),
          { ...slice?.ranges, batch_table: runner.upload(table), tokens: runner.upload(ids.slice().reverse()), y },
          { tokens: ids.length },
          { rowStart: 0, rows },
        );
        const want = embed(weights, columns, ids, scale);
        expectClose('embed', await runner.floats(y), want);
        destroyMatrix(runner.device, matrix);
      }
    });
  });

  describeVariants(['cpu'], (getRunner) => {
    it('gathers from a matrix in slices, with an odd number of rows in the last', async () => {
      const runner = getRunner();
      const [rows, columns] = [601, 96];
      const limits = { ...runner.device.limits, maxBufferSize: 1 << 20, maxStorageBufferBindingSize: 256 * columns };
      const small = { ...runner.device, limits };
      const { matrix, weights } = await randomMatrix(small, 'Q8_0', rows, columns, new Random(2));
      expect(matrix.slices.map((slice) => slice.rows)).toEqual([256, 256, 89]);
      const ids = Uint32Array.of(0, 255, 256, 511, 512, 600, 300);
      const y = runner.empty(ids.length * columns * 4);
      const kernel = embedKernel(runner.device, 'Q8_0', columns);
      const batch_table = runner.upload(tableOf(ids.length, 0));
      const tokens = runner.upload(ids);
      for (const slice of matrix.slices) {
        runner.run(
          kernel,
          { ...slice.ranges, batch_table, tokens, y },
          { tokens: ids.length },
          { rowStart: slice.rowStart, rows: slice.rows },
        );
      }
      expectClose('embed', await runner.floats(y), embed(weights, columns, ids));
      destroyMatrix(runner.device, matrix);
    });
  });
});

describe('norm-qk', () => {
  describeVariants(SUBGROUP_VARIANTS, (getRunner) => {
    it.each([
      [1, 1, 16],
      [9, 3, 64],
      [16, 16, 128],
      [3, 1, 32],
    ])('%i heads of q, %i of k, of %i', async (numHeads, numKvHeads, headDim) => {
      const random = new Random(numHeads);
      const runner = getRunner();
      const heads = { numHeads, numKvHeads, headDim, qkNorm: false, rmsNormEps: 1e-5 };
      const [queries, keys] = [numHeads * headDim, numKvHeads * headDim];
      const weight = random.normals(queries + keys, 1, 1);
      for (const tokens of [1, 2, 33]) {
        const rows = random.normals(tokens * (queries + 2 * keys), 3, 0.5);
        const qkv = runner.upload(rows);
        runner.run(
          normQkKernel(runner.device, heads),
          { qkv, norm_weight: runner.upload(weight) },
          { tokens },
          { tokens },
        );
        const want = Array.from({ length: tokens }, (_, token) => {
          const row = rows.subarray((token * rows.length) / tokens, ((token + 1) * rows.length) / tokens);
          return [
            ...rmsNorm(row.subarray(0, queries), weight.subarray(0, queries), 1e-5),
            ...rmsNorm(row.subarray(queries, queries + keys), weight.subarray(queries), 1e-5),
            ...row.subarray(queries + keys),
          ];
        });
        expectClose('rms-norm', await runner.floats(qkv), want.flat());
      }
    });
  });
});

describe('rms-norm', () => {
  describeVariants(SUBGROUP_VARIANTS, (getRunner, variant) => {
    // 128: vec4f that a workgroup of the `gpu` class reads at once. On the other class lavapipe unrolls short rows for seconds.
    it.each(variant.startsWith('cpu') ? [4, 576, 2044] : [4, 124, 128, 132, 576, 2048])(
      'norms rows of %d',
      async (width) => {
        const random = new Random(width);
        for (const tokens of [1, 2, 3, 31, 33, 63, 64, 65]) {
          for (const [std, eps] of [
            [1, 1e-5],
            [1e-4, 1e-6],
            [300, 1e-5],
          ] as const) {
            const runner = getRunner();
            const [start, to] = tokens === 3 ? [5, 2] : [0, 0];
            const x = random.normals((start + tokens) * width, std, std / 2);
            const weight = random.normals(width, 1, 1);
            const y = runner.empty((to + tokens) * width * 4);
            const bounds = { x: runner.upload(x), norm_weight: runner.upload(weight), y };
            const kernel = rmsNormKernel(runner.device, width, eps);
            runner.run(kernel, bounds, { tokens }, { start, tokens, to, scale: 1 });
            const rows = (await runner.floats(y)).subarray(to * width);
            expectClose('rms-norm', rows, rmsNorm(x.subarray(start * width), weight, eps));
          }
        }
      },
    );

    it.each([1, 3, 31, 33, 65])('adds to the output and scales the sum: %d tokens', async (tokens) => {
      const runner = getRunner();
      const width = 576;
      const random = new Random(tokens);
      const [x, weight, before] = [
        random.normals(tokens * width),
        random.normals(width, 1, 1),
        random.normals(tokens * width),
      ];
      const y = runner.upload(before);
      runner.run(
        rmsNormKernel(runner.device, width, 1e-6, true),
        { x: runner.upload(x), norm_weight: runner.upload(weight), y },
        { tokens },
        { start: 0, tokens, to: 0, scale: 0.7 },
      );
      const normed = rmsNorm(x, weight, 1e-6);
      const want = normed.map((value, i) => 0.7 * (value + before[i]!));
      expectClose('rms-norm', await runner.floats(y), want, (i) => Math.abs(normed[i]!) + Math.abs(before[i]!));
    });

    it('normalizes more rows than a dispatch has workgroups in a dimension', async () => {
      const runner = getRunner();
      const [width, tokens] = [4, 65_537];
      const random = new Random(3);
      const [x, weight] = [random.normals(tokens * width), random.normals(width, 1, 1)];
      const y = runner.empty(tokens * width * 4);
      const bounds = { x: runner.upload(x), norm_weight: runner.upload(weight), y };
      runner.run(rmsNormKernel(runner.device, width, 1e-6), bounds, { tokens }, { start: 0, tokens, to: 0, scale: 1 });
      expectClose('rms-norm', await runner.floats(y), rmsNorm(x, weight, 1e-6));
    });

    it('gives zeros for zeros', async () => {
      const runner = getRunner();
      const y = runner.empty(576 * 4);
      const bounds = { x: runner.empty(576 * 4), norm_weight: runner.upload(new Random(1).normals(576)), y };
      const params = { start: 0, tokens: 1, to: 0, scale: 1 };
      runner.run(rmsNormKernel(runner.device, 576, 1e-6), bounds, { tokens: 1 }, params);
      expect((await runner.floats(y)).every((value) => value === 0)).toBe(true);
    });
  });
});

describe('gated-activation', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(['silu', 'gelu'] as const)('gates go through %s', async (activation) => {
      const runner = getRunner();
      const width = 260;
      const x = new Random(width).normals(3 * 2 * width, 3);
      x.set([-100, -1e4, 100, 1e4, -15, 15, -5, 0]);
      const y = runner.empty(3 * width * 4);
      runner.run(gatedActivationKernel(runner.device, width, activation), { x: runner.upload(x), y }, { tokens: 3 });
      const want = gatedActivation(x, width, activation);
      // Far below 0, GELU is a small difference of large numbers.
      const at = (i: number): number => Math.floor(i / width) * 2 * width + (i % width);
      expectClose(
        'gated-activation',
        await runner.floats(y),
        want,
        (i) => Math.abs(x[at(i)]! * x[at(i) + width]!) + 1e-6,
      );
    });

    it.each([4, 124, 128, 132, 252, 256, 260, 1536])('multiplies by gates %d wide', async (width) => {
      // Large gates: 0 · up and gate · up.
      const farOut = [
        [-100, -1e4, 100, 1e4],
        [-200, -1e5, 200, 1e5],
      ];
      for (const [tokens, far] of [1, 2, 63, 65].flatMap((tokens) => farOut.map((far) => [tokens, far] as const))) {
        const runner = getRunner();
        const x = new Random(width).normals(tokens * 2 * width, 3);
        x.set(far);
        const y = runner.empty(tokens * width * 4);
        runner.run(gatedActivationKernel(runner.device, width, 'silu'), { x: runner.upload(x), y }, { tokens });
        const want = gatedActivation(x, width);
        expectClose('gated-activation', await runner.floats(y), want, (i) => Math.abs(want[i] ?? 0) + 1e-6);
      }
    });
  });
});

/** Number of pages of a sequence; their offsets are shuffled. */
const PAGES = 3;
const PLACES = [
  [4, 0, 2],
  [1, 5, 3],
];

const run = (text: number, start: number, count: number): PlacedToken[] =>
  Array.from({ length: count }, (_, i) => ({ text, position: start + i }));

/** Prefills of a sequence's first tokens, across pages and after a page; decode of two sequences; a draft; and tokens with consecutive positions of different sequences. */
const BATCHES: Record<string, PlacedToken[]> = {
  'the first token': run(0, 0, 1),
  'a text from its beginning': run(1, 0, 70),
  'behind a page': run(0, PAGE_TOKENS, 5),
  'over a page': run(1, PAGE_TOKENS - 1, 40),
  'two texts': [...run(0, 40, 1), ...run(1, 41, 1)],
  'two texts at one place': [...run(1, PAGE_TOKENS, 1), ...run(0, PAGE_TOKENS + 1, 1)],
  'a draft': run(0, 61, 7),
};

describe('short-conv', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(Object.entries(BATCHES))('%s', async (_name, tokens) => {
      const random = new Random(3);
      const runner = getRunner();
      for (const [width, count] of [
        [32, 3],
        [96, 4],
        [2080, 3],
        [64, 1],
      ] as const) {
        const before = PLACES.map(() => random.normals(PAGES * PAGE_TOKENS * width, 1));
        const x = random.normals(tokens.length * 3 * width, 1);
        const taps = random.normals(count * width, 1);
        const units = (PAGE_TOKENS * width * 4) / UNIT_BYTES;
        const pages = PLACES.flatMap((places) =>
          places.flatMap((place, i) => pageEntry(place * units, 'f16', PAGE_TOKENS, i * PAGE_TOKENS)),
        );
        const kv = new Float32Array(2 * PAGES * PAGE_TOKENS * width);
        const eachPage = (put: (place: number, text: number, page: number) => void): void =>
          PLACES.forEach((places, text) => places.forEach((place, page) => put(place, text, page)));
        const pageFloats = PAGE_TOKENS * width;
        eachPage((place, text, page) =>
          kv.set(before[text]!.subarray(page * pageFloats, (page + 1) * pageFloats), place * pageFloats),
        );
        const table = batchTable(
          tokens.map(({ text, position }) => ({ place: 0, position, firstPage: text * PAGES, page: pageOf(position) })),
        );
        const [state, y] = [runner.upload(kv), runner.empty(tokens.length * width * 4)];
        const bounds = {
          batch_table: runner.upload(table),
          pages: runner.upload(Uint32Array.from(pages)),
          x: runner.upload(x),
          taps: runner.upload(taps),
          state,
          y,
        };
        runner.run(shortConvKernel(runner.device, width, count), bounds, { tokens: tokens.length });
        const held = before.map((text) => Float64Array.from(text));
        const want = shortConv(x, taps, tokens, held);
        expectClose('short-conv', await runner.floats(y), want);
        const left = await runner.floats(state);
        const found = before.map((text) => new Float64Array(text.length));
        eachPage((place, text, page) =>
          found[text]!.set(left.subarray(place * pageFloats, (place + 1) * pageFloats), page * pageFloats),
        );
        expect(
          found.map((text) => Array.from(text)),
          'what is kept',
        ).toEqual(held.map((text) => Array.from(text, Math.fround)));
      }
    });

    it('treats an evicted page as zeros for any value of its entry', async () => {
      const runner = getRunner();
      const width = 32;
      const ones = (count: number): Float32Array => new Float32Array(count).fill(1);
      const table = batchTable([{ place: 0, position: PAGE_TOKENS, firstPage: 0, page: 1 }]);
      const pages = [
        ...pageEntry(0, 'f16', 0, 0),
        ...pageEntry((PAGE_TOKENS * width * 4) / UNIT_BYTES, 'f16', PAGE_TOKENS, PAGE_TOKENS),
      ];
      const y = runner.empty(width * 4);
      const state = runner.upload(ones(2 * PAGE_TOKENS * width).fill(NaN));
      const bounds = {
        batch_table: runner.upload(table),
        pages: runner.upload(Uint32Array.from(pages)),
        x: runner.upload(ones(3 * width)),
        taps: runner.upload(ones(3 * width)),
        state,
        y,
      };
      runner.run(shortConvKernel(runner.device, width, 3), bounds, { tokens: 1 });
      expect(Array.from(await runner.floats(y))).toEqual(Array<number>(width).fill(1));
    });
  });
});
