import { describe, expect, it } from 'vitest';
import type { Candidate } from '../../src/gpu/autotuner.ts';
import { attentionKernels, attentionMergeKernels, partialFloats, storesTokens } from '../../src/kernels/attention.ts';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { probeFloats, PROBES, storeKvKernel } from '../../src/kernels/pages.ts';
import { batchTable, type BatchShape } from '../../src/layers/batch.ts';
import { attention } from '../reference/kernels/attention.ts';
import { attentionMerge } from '../reference/kernels/attention-merge.ts';
import { elementOf, rotatedValue } from '../reference/kernels/paged-heads.ts';
import { storeKv } from '../reference/kernels/store-kv.ts';
import { Random } from '../support/random.ts';
import { byTier } from '../support/tier.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import type { Tolerance } from '../support/kernels/tolerances.ts';
import {
  cacheElements,
  fromHalves,
  headsOf,
  pagedHeads,
  pageOf,
  pageTable,
  ropeOf,
  shuffledPages,
  tableOf,
  toHalves,
} from '../support/kernels/pages.ts';
import { CLASSES, describeVariants, HALF_VARIANTS, type Runner, type Variant } from '../support/kernels/runner.ts';

const FEW_HEADS = [headsOf(64, 9, 3), { ...headsOf(32, 4, 1), attentionScale: 0.07 }];
/** Other tests have heads of 80 and 256: with the autotuner's candidates, with a window, and with pages of every form. */
const WIDE_HEADS = [headsOf(128, 4, 1), { ...headsOf(512, 8, 1), attentionScale: 1 / 16 }];

function headsFor(variant: Variant): readonly Heads[] {
  if (variant.endsWith('f16')) return FEW_HEADS; // how halves are read does not depend on the heads
  // Only kernels for graphics cards divide heads among invocations.
  const divided = variant === 'gpu' ? [headsOf(64, 8, 1), headsOf(96, 2, 2)] : [];
  return byTier(FEW_HEADS, [...FEW_HEADS, ...WIDE_HEADS, ...divided]);
}

/** Batches at and around the borders of pages. */
const BATCHES = [
  [0, 1],
  [1, 1],
  [31, 1],
  [32, 1],
  [63, 1],
  [299, 1],
  [499, 1],
  [0, 15],
  [29, 16],
  [31, 17],
  [0, 33],
] as const;
/** Where pages end does not depend on the size of heads. */
const FEW_BATCHES = [
  [31, 1],
  [299, 1],
  [31, 17],
] as const;
/** Heads of all tests that do not test sizes, so that they share compiled pipelines. */
const USUAL = headsOf(64, 9, 3);

interface Batch {
  heads: Heads;
  qkv: Float32Array;
  kv: Uint16Array;
  pages: Uint32Array;
  position: number;
  tokens: number;
  rope: Float32Array;
  /** Tokens that each token sees; default: all. */
  window?: number;
}

/** A batch at `position` over a cache of random keys and values; NaN in places without a token. */
function randomBatch(heads: Heads, position: number, tokens: number, random: Random, std = 1): Batch {
  const { numHeads, numKvHeads, headDim } = heads;
  const pages = shuffledPages(position + tokens, random);
  const kv = new Uint16Array(cacheElements(heads, pages)).fill(0x7e00);
  for (let at = 0; at < position + tokens; at++) {
    for (let head = 0; head < numKvHeads; head++) {
      for (const part of ['key', 'value'] as const) {
        const element = elementOf(pagedHeads(heads, pages), part, head, at);
        kv.set(toHalves(random.normals(headDim, part === 'key' ? std : 1)), element);
      }
    }
  }
  const qkv = random.normals(tokens * (numHeads + 2 * numKvHeads) * headDim, std);
  return { heads, qkv, kv, pages, position, tokens, rope: ropeOf(headDim, position + tokens) };
}

/** Batches with their own kernels. Consecutive tokens may be either. */
const kindsOf = ({ device }: Runner): BatchShape['kind'][] =>
  device.variant.sharedPages ? ['prefill', 'decode'] : ['prefill'];

/** Records attention and its merge over `kv`; returns their output. */
function recordAttention(
  runner: Runner,
  batch: Batch,
  kv: GPUBuffer,
  qkv: GPUBuffer,
  kind: BatchShape['kind'],
): GPUBuffer {
  const { heads, position, tokens, window } = batch;
  const batch_table = runner.upload(tableOf(tokens, position));
  const buffers = { batch_table, qkv, kv, pages: runner.upload(tableInSight(batch)), rope: runner.upload(batch.rope) };
  return recordBuffers(runner, heads, buffers, { kind, tokens, length: position + tokens, window });
}

function recordBuffers(
  runner: Runner,
  heads: Heads,
  buffers: Record<string, GPUBuffer>,
  {
    kind,
    tokens,
    length,
    window,
    stores = false,
  }: BatchShape & { length: number; window?: number | undefined; stores?: boolean },
): GPUBuffer {
  const { device } = runner;
  const kernel = attentionKernels(device, heads, { allF16: true, stores, window })[kind];
  const split = kernel.split({ tokens, length });
  const { splits } = split;
  const partial_outputs = runner.empty(tokens * splits * heads.numHeads * partialFloats(heads.headDim) * 4);
  const y = runner.empty(tokens * heads.numHeads * heads.headDim * 4);
  const bounds = {
    ...buffers,
    partial_outputs,
    y,
    probes: runner.empty(PROBES * heads.numHeads * probeFloats(heads.headDim) * 4),
  };
  const params = { ...split, tokens, slotPages: 1024, firstToken: 0 };
  runner.run(kernel, bounds, { tokens, splits }, params);
  if (splits > 1 || kernel.alwaysMerged)
    runner.run(attentionMergeKernels(device, heads)[kind], bounds, { tokens }, params);
  return y;
}

const attend = (runner: Runner, batch: Batch, kind: BatchShape['kind']): Promise<Float32Array> =>
  runner.floats(recordAttention(runner, batch, runner.upload(batch.kv), runner.upload(batch.qkv), kind));

/** Expects the reference's result from both kernels. */
async function expectAttention(runner: Runner, batch: Batch, tolerance: Tolerance = 'attention'): Promise<void> {
  const want = twin(batch);
  for (const kind of kindsOf(runner)) expectClose(tolerance, await attend(runner, batch, kind), want);
}

const twin = ({ heads, pages, qkv, kv, position, rope, window }: Batch): Float64Array =>
  attention({ ...pagedHeads(heads, pages), window }, qkv, fromHalves(kv), position, rope);

/** Pages that no token of a batch sees. */
const pagesBeforeWindow = ({ position, window }: Batch): number =>
  Math.floor(Math.max(0, position + 1 - (window ?? Infinity)) / PAGE_TOKENS);

/** The page table after pages before the window were evicted: their entries name other pages. */
function tableInSight(batch: Batch): Uint32Array {
  const table = pageTable(batch.heads, batch.pages);
  for (let page = 0; page < pagesBeforeWindow(batch); page++) table.set([0, 0], 4 * page);
  return table;
}

/** `batch` with a window, and NaN in every page before it. */
function windowed(batch: Batch, window: number): Batch {
  const near = { ...batch, window };
  const { pages, kv } = near;
  const elements = kv.length / (pages.length + 3);
  for (const page of pages.subarray(0, pagesBeforeWindow(near)))
    kv.fill(0x7e00, page * elements, (page + 1) * elements);
  return near;
}

describe('attention and attention-merge', () => {
  describeVariants(HALF_VARIANTS, (getRunner, variant) => {
    it.each(headsFor(variant))('$numHeads heads over $numKvHeads of $headDim', async (heads) => {
      const random = new Random(9);
      for (const [position, tokens] of FEW_HEADS.includes(heads) ? BATCHES : FEW_BATCHES) {
        const batch = randomBatch(heads, position, tokens, random);
        await expectAttention(getRunner(), batch);
      }
    });

    it('does not read the unused part of pages', async () => {
      for (const tokens of [1, 20]) {
        const batch = randomBatch(USUAL, 40, tokens, new Random(15));
        const zeros = { ...batch, kv: batch.kv.map((half) => (half === 0x7e00 ? 0 : half)) };
        for (const kind of kindsOf(getRunner())) {
          const got = await attend(getRunner(), batch, kind);
          expect(got.every(Number.isFinite)).toBe(true);
          expect(got).toEqual(await attend(getRunner(), zeros, kind));
        }
      }
    });

    it.each([false, true])(
      'one token each of several sequences, stored (by attention itself: %s) and attended as if alone',
      async (isStoring) => {
        const runner = getRunner();
        const heads = headsOf(64, 4, 2); // two key/value heads: rows of 256 and of 8 * 64
        const random = new Random(18);
        const positions = [70, 0, 299, 31];
        const whole = randomBatch(
          heads,
          positions.reduce((sum, at) => sum + at + PAGE_TOKENS, 0),
          1,
          random,
        );
        const width = 8 * 64;
        const qkv = random.normals(positions.length * width);
        // Each sequence has consecutive page-table entries, shuffled, with an unused entry between sequences.
        const firstPages = [30, 0, 2, 20];
        const places = positions.map((position, i) => ({
          place: i,
          position,
          firstPage: firstPages[i] ?? 0,
          page: pageOf(position),
        }));
        const table = batchTable(places);
        const pages = new Uint32Array(40).fill(0xffffff);
        const entries = new Uint32Array(40 * 4).fill(0xffffff);
        let used = 0;
        positions.forEach((position, i) => {
          const count = Math.ceil((position + 1) / PAGE_TOKENS);
          const own = whole.pages.subarray(used, used + count);
          pages.set(own, firstPages[i]);
          entries.set(pageTable(heads, own), (firstPages[i] ?? 0) * 4);
          used += count;
        });
        const batch_table = runner.upload(table);
        const kv = runner.upload(whole.kv);
        const buffers = {
          batch_table,
          qkv: runner.upload(qkv),
          kv,
          pages: runner.upload(entries),
          rope: runner.upload(whole.rope),
        };
        const stores = isStoring && storesTokens(runner.device, heads);
        if (!stores) runner.run(storeKvKernel(runner.device, heads), buffers, { tokens: positions.length });
        const batch = { kind: 'decode', tokens: positions.length, length: 300, stores } as const;
        const got = await runner.floats(recordBuffers(runner, heads, buffers, batch));
        const stored = fromHalves(new Uint16Array(await runner.read(kv)));
        positions.forEach((position, i) => {
          const mine = pages.subarray(firstPages[i], (firstPages[i] ?? 0) + Math.ceil((position + 1) / PAGE_TOKENS));
          const row = qkv.subarray(i * width, (i + 1) * width);
          const want = attention(pagedHeads(heads, mine), row, stored, position, whole.rope);
          expectClose('attention', got.subarray(i * 256, (i + 1) * 256), want);
          const kvWant = fromHalves(whole.kv);
          storeKv(pagedHeads(heads, mine), Float64Array.from(row), kvWant, position, { rope: whole.rope });
          for (const part of ['key', 'value'] as const) {
            const at = elementOf(pagedHeads(heads, mine), part, 1, position);
            const wanted = kvWant.slice(at, at + 64);
            expectClose('store-kv', stored.slice(at, at + 64), wanted, (j) => Math.abs(wanted[j] ?? 0) + 4e-3);
          }
        });
      },
    );

    if (variant.endsWith('f16')) return; // how halves are read does not depend on the rest

    it.each([2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65])('a batch of %i tokens', async (tokens) => {
      await expectAttention(getRunner(), randomBatch(USUAL, 31, tokens, new Random(19)));
    });

    it('a batch of 300 tokens', async () => {
      const batch = randomBatch(USUAL, 7, 300, new Random(10));
      await expectAttention(getRunner(), batch);
    });

    /** The default is a tile of 512 with two vectors, and a workgroup of 256. Prefill has tiles, decode workgroups. */
    const tuned: { candidate: Candidate; heads: readonly Heads[] }[] = [
      { candidate: { attentionTile: 256, attentionVectors: 1 }, heads: [headsOf(80, 3, 3)] },
      { candidate: { attentionTile: 256, attentionVectors: 2 }, heads: [headsOf(128, 8, 2)] },
      { candidate: { attentionTile: 256, attentionVectors: 4 }, heads: byTier([USUAL], [headsOf(64, 14, 2)]) },
      { candidate: { attentionTile: 512, attentionVectors: 4 }, heads: [headsOf(80, 3, 3), headsOf(128, 8, 2)] },
      // The second head has more vec4f than the workgroup has invocations.
      { candidate: { attentionWorkgroup: 64 }, heads: [headsOf(64, 14, 2), headsOf(512, 5, 1)] },
      { candidate: { attentionWorkgroup: 128 }, heads: [headsOf(64, 14, 2)] },
    ];
    it.each(variant === 'gpu' ? byTier(tuned.slice(2, 3), tuned) : [])(
      'as the autotuner may choose: $candidate',
      async ({ candidate, heads }) => {
        const { device } = getRunner();
        const own = device.variant;
        device.variant = { ...own, ...candidate };
        try {
          for (const each of heads) await expectAttention(getRunner(), randomBatch(each, 45, 71, new Random(20)));
        } finally {
          device.variant = own;
        }
      },
    );

    // Each window is a constant of the kernels: within a page, of a page and a token, and of many pages.
    const windows = [
      { window: 33, heads: USUAL },
      { window: 20, heads: USUAL },
      { window: 300, heads: USUAL },
      ...(variant === 'gpu' ? [{ window: 33, heads: headsOf(256, 4, 1) }] : []),
    ];
    it.each(byTier(windows.slice(0, 1), windows))(
      'a window of $window tokens, and no page before it, heads of $heads.headDim',
      async ({ window, heads }) => {
        const random = new Random(22);
        for (const [position, tokens] of [
          [0, 1],
          [window - 1, 1],
          [window, 1],
          [499, 1],
          [31, 17],
          [300, 33],
          [7, 300],
        ] as const) {
          if (tokens > 33 && heads !== USUAL) continue;
          const batch = windowed(randomBatch(heads, position, tokens, random), window);
          await expectAttention(getRunner(), batch);
        }
      },
    );

    it('a token with more pages than splits', async () => {
      const heads = USUAL;
      const pages = Math.ceil(2201 / PAGE_TOKENS);
      for (const kind of kindsOf(getRunner())) {
        const {
          splits,
          pagesPerSplit = 0,
          partsPerSplit = pagesPerSplit,
        } = attentionKernels(getRunner().device, heads, { allF16: true, stores: false })[kind].split({
          tokens: 1,
          length: 2201,
        });
        expect(splits).toBeGreaterThan(1);
        expect(splits).toBeLessThan(pages);
        expect(splits * partsPerSplit).toBeGreaterThanOrEqual(pages);
      }
      await expectAttention(getRunner(), randomBatch(heads, 2200, 1, new Random(11)));
    });

    it('the shortest split sequence, and the longest unsplit one', async () => {
      const heads = USUAL;
      const { device } = getRunner();
      if (!device.variant.sharedPages) return;
      const { decode } = attentionKernels(device, heads, { allF16: true, stores: false });
      let length = 1;
      while (decode.split({ tokens: 1, length }).splits === 1) length++;
      expect(length).toBe(4 * PAGE_TOKENS + 1); // one step of four teams needs no merge
      for (const tokens of [length - 1, length])
        await expectAttention(getRunner(), randomBatch(heads, tokens - 1, 1, new Random(21)));
    });

    it('a sequence split into parts of pages of every size', async () => {
      const { device } = getRunner();
      if (!device.variant.sharedPages) return;
      const { decode } = attentionKernels(device, USUAL, { allF16: true, stores: false });
      const seen = new Set<number | undefined>();
      for (const tokens of byTier([131, 300, 512], [129, 131, 161, 300, 512, 1100])) {
        seen.add(decode.split({ tokens: 1, length: tokens })['pageParts']);
        await expectAttention(getRunner(), randomBatch(USUAL, tokens - 1, 1, new Random(23)));
      }
      expect([...seen]).toEqual(expect.arrayContaining([8, 4]));
    });

    it('scores of ten thousand', async () => {
      for (const tokens of [1, 40]) {
        const batch = randomBatch(USUAL, 100, tokens, new Random(12), 60);
        await expectAttention(getRunner(), batch, 'attention, scores of 1e4');
      }
    });

    it('every score near minus ten thousand', async () => {
      const { numHeads, numKvHeads } = USUAL;
      const batch = randomBatch(USUAL, 70, 1, new Random(13));
      batch.rope = identityRope(64, 71);
      batch.qkv.fill(100, 0, numHeads * 64);
      const key = toHalves(new Float64Array(64).fill(-12.5));
      for (let at = 0; at <= 70; at++) {
        for (let head = 0; head < numKvHeads; head++) {
          batch.kv.set(key, elementOf(pagedHeads(USUAL, batch.pages), 'key', head, at));
        }
      }
      await expectAttention(getRunner(), batch, 'attention, scores of 1e4');
    });

    it('a row that sees one key gets the value of that key', async () => {
      const batch = randomBatch(USUAL, 0, 1, new Random(14), 10);
      const values = Float64Array.from({ length: USUAL.numHeads * 64 });
      for (let head = 0; head < USUAL.numHeads; head++) {
        const at = elementOf(pagedHeads(USUAL, batch.pages), 'value', Math.floor(head / 3), 0);
        values.set(rotatedValue(fromHalves(batch.kv.slice(at, at + 64))), head * 64);
      }
      for (const kind of kindsOf(getRunner())) expectClose('attention', await attend(getRunner(), batch, kind), values);
    });

    it('after store-kv is causal attention with rotation at absolute positions', async () => {
      const heads = headsOf(64, 4, 2);
      const tokens = 75;
      const batch = randomBatch(heads, 0, tokens, new Random(16));
      const runner = getRunner();
      const [kv, qkv] = [runner.upload(batch.kv), runner.upload(batch.qkv)];
      const batch_table = runner.upload(tableOf(tokens, 0));
      const stored = {
        batch_table,
        qkv,
        kv,
        pages: runner.upload(pageTable(heads, batch.pages)),
        rope: runner.upload(batch.rope),
      };
      runner.run(storeKvKernel(runner.device, heads), stored, { tokens });
      const got = await runner.floats(recordAttention(runner, batch, kv, qkv, 'prefill'));
      // The reference has one page of all tokens: keys are rotated by their positions, queries are not.
      const whole = { ...heads, pageTokens: tokens, pages: [0] };
      const plain = new Float64Array(2 * heads.numKvHeads * tokens * 64);
      storeAbsolute(batch, plain);
      expectClose(
        'attention, unrounded',
        got,
        attention(whole, rotateQueries(batch), plain, 0, identityRope(64, tokens)),
      );
    });
  });

  describeVariants(CLASSES, (getRunner) => {
    it.each([
      { headDim: 32, numHeads: 3, tokens: 1, splits: 1 },
      { headDim: 64, numHeads: 9, tokens: 1, splits: 64 },
      { headDim: 80, numHeads: 5, tokens: 17, splits: 1 },
      { headDim: 256, numHeads: 2, tokens: 3, splits: 7 },
    ])('merges $splits splits of $numHeads heads of $headDim', async ({ headDim, numHeads, tokens, splits }) => {
      const runner = getRunner();
      const random = new Random(17);
      const size = partialFloats(headDim);
      const partials = random.normals(tokens * splits * numHeads * size);
      for (let at = 0; at < partials.length; at += size)
        partials.set([30 * random.normal(), 1 + random.next()], at + headDim);
      const y = runner.empty(tokens * numHeads * headDim * 4);
      const heads = headsOf(headDim, numHeads, numHeads);
      const bounds = {
        ...{ partial_outputs: runner.upload(partials), y, batch_table: runner.upload(tableOf(tokens, 0)) },
        ...{
          qkv: runner.empty(tokens * 3 * numHeads * headDim * 4),
          probes: runner.empty(PROBES * numHeads * probeFloats(headDim) * 4),
        },
      };
      const want = attentionMerge(partials, { splits, numHeads, headDim });
      for (const kind of kindsOf(runner)) {
        runner.run(
          attentionMergeKernels(runner.device, heads)[kind],
          bounds,
          { tokens },
          { tokens, splits, slotPages: 1024 },
        );
        expectClose('attention-merge', await runner.floats(y), want);
      }
    });
  });
});

/** cos 1 and sin 0 everywhere. */
const identityRope = (headDim: number, positions: number): Float32Array =>
  Float32Array.from({ length: positions * headDim }, (_, i) => (i % headDim < headDim / 2 ? 1 : 0));

/** Pair (i, i + headDim / 2) of the head at `at` turned by `position` · 10000^(−2i / headDim). */
function turned(values: Float32Array, at: number, headDim: number, position: number): Float64Array {
  const half = headDim / 2;
  return Float64Array.from({ length: headDim }, (_, i) => {
    const angle = position * 10_000 ** (-(i % half) / half);
    const [a, b] = [values[at + (i % half)] ?? 0, values[at + half + (i % half)] ?? 0];
    return i < half ? a * Math.cos(angle) - b * Math.sin(angle) : a * Math.sin(angle) + b * Math.cos(angle);
  });
}

function rotateQueries({ heads: { numHeads, numKvHeads, headDim }, qkv, tokens }: Batch): Float32Array {
  const rotated = qkv.slice();
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < numHeads; head++) {
      const at = (token * (numHeads + 2 * numKvHeads) + head) * headDim;
      rotated.set(turned(qkv, at, headDim, token), at);
    }
  }
  return rotated;
}

function storeAbsolute({ heads, qkv, tokens }: Batch, plain: Float64Array): void {
  const { numHeads, numKvHeads, headDim } = heads;
  const whole = { ...heads, pageTokens: tokens, pages: [0] };
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < numKvHeads; head++) {
      const key = (token * (numHeads + 2 * numKvHeads) + numHeads + head) * headDim;
      const value = key + numKvHeads * headDim;
      plain.set(turned(qkv, key, headDim, token), elementOf(whole, 'key', head, token));
      plain.set(
        rotatedValue(Float64Array.from(qkv.subarray(value, value + headDim))),
        elementOf(whole, 'value', head, token),
      );
    }
  }
}
