import { expect, it } from 'vitest';
import {
  FOUND_BYTES,
  FOUND_FLOATS,
  mergePageTokensKernel,
  probeFloats,
  probePageKernel,
  PROBES,
} from '../../src/kernels/pages.ts';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { pageEntry, pageUnits, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { type AskingQuery, merged, type PageEntry } from '../reference/kernels/merge-page-tokens.ts';
import { rotateHead } from '../reference/kernels/paged-heads.ts';
import { Random } from '../support/random.ts';
import { attend, PAGES, randomRows } from '../support/kernels/attend-pages.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { fromHalves, headsOf, ropeOf, toHalves } from '../support/kernels/pages.ts';
import { rotatedValue } from '../reference/kernels/paged-heads.ts';
import { type Cache, type Page, randomCache } from '../support/kernels/random-pages.ts';
import { describeVariants, type Runner } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

const POSITION = 350;
const QUERIES = 3;
/** Pages with their number of entries after the merge: even, odd, and one. */
const TASKS: readonly (readonly [at: number, count: number])[] = [
  [8, 8],
  [0, 5],
  [9, 1],
  [6, 4],
  [3, 3],
];

const pageOf = (at: number): Page => PAGES[at] as Page;

/** Entries of a page of the cache, by key/value head. */
function entriesOf({ heads }: Cache, at: number): PageEntry[][] {
  const first = PAGES.slice(0, at).reduce((sum, { entries }) => sum + entries, 0);
  return heads.map((head) =>
    head
      .slice(first, first + pageOf(at).entries)
      .map(({ key, value, logWeight }) => ({ key, value, raised: logWeight })),
  );
}

class Merging {
  readonly bytes: Uint8Array;
  readonly tasks: Uint32Array;
  readonly #offsets: number[] = [];

  constructor(
    readonly heads: Heads,
    readonly cache: Cache,
    readonly counts: typeof TASKS,
    readonly rope: Float32Array,
  ) {
    let units = cache.bytes.length / UNIT_BYTES;
    const tasks = counts.flatMap(([at, count]) => {
      this.#offsets.push(units);
      const copy = pageEntry(units, 'sparse', count, pageOf(at).base);
      units += pageUnits('sparse', heads, count);
      return [...cache.table.subarray(4 * at, 4 * at + 4), ...copy];
    });
    this.tasks = Uint32Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...tasks]); // the first task belongs to another dispatch
    this.bytes = new Uint8Array(units * UNIT_BYTES);
    this.bytes.set(cache.bytes);
  }

  /** The probes' queries of the heads that share a key/value head. */
  asking(probes: Float32Array, kvHead: number, base: number): AskingQuery[] {
    const { numHeads, numKvHeads, headDim, attentionScale = 1 / Math.sqrt(headDim) } = this.heads;
    const floats = probeFloats(headDim);
    const group = numHeads / numKvHeads;
    return Array.from({ length: QUERIES * group }, (_, i) => {
      const position = POSITION - Math.floor(i / group);
      const at = ((position % PROBES) * numHeads + kvHead * group + (i % group)) * floats;
      const rotated = rotateHead(Float64Array.from(probes.subarray(at, at + headDim)), position - base, this.rope);
      const [maximum = NaN, sum = NaN] = probes.subarray(at + 2 * headDim);
      return { query: rotated.map((x) => x * attentionScale), maximum, sum };
    });
  }

  /** The entries of a copy in `bytes`. */
  read(bytes: Uint8Array, task: number, kvHead: number): PageEntry[] {
    const { numKvHeads, headDim } = this.heads;
    const count = this.counts[task]?.[1] ?? 0;
    const start = (this.#offsets[task] ?? 0) * UNIT_BYTES;
    const part = (first: number) =>
      fromHalves(new Uint16Array(bytes.buffer, bytes.byteOffset + start + 2 * first, headDim));
    const raised = new Float32Array(bytes.buffer, bytes.byteOffset + start + 4 * numKvHeads * count * headDim);
    return Array.from({ length: count }, (_, j) => ({
      key: part((kvHead * count + j) * headDim),
      value: rotatedValue(part(((numKvHeads + kvHead) * count + j) * headDim)),
      raised: raised[kvHead * (count + (count % 2)) + j] ?? NaN,
    }));
  }

  async run(runner: Runner) {
    const { heads, tasks } = this;
    const positions = [345, 346, 347, 348, 349, POSITION];
    const { qkv } = randomRows(heads, positions.length, new Random(36));
    const kv = runner.upload(new Uint32Array(this.bytes.buffer));
    const buffers = { kv, rope: runner.upload(this.rope) };
    const { probes } = attend(
      runner,
      { ...buffers, heads, positions, qkv: runner.upload(qkv) },
      PAGES,
      this.cache.table,
      3,
    );
    const params = { first: 1, queries: QUERIES, slot: 0, position: POSITION };
    const bounds = { ...buffers, tasks: runner.upload(tasks), qkv: probes };
    const count = this.counts.length;
    runner.run(mergePageTokensKernel(runner.device, heads), bounds, { pages: count }, params);
    const errors = runner.empty((count + 1) * heads.numHeads * FOUND_BYTES);
    const probed = { ...bounds, errors };
    runner.run(probePageKernel(runner.device, heads), probed, { found: count }, { ...params, count, together: 1 });
    return {
      bytes: new Uint8Array(await runner.read(kv)),
      probes: await runner.floats(probes),
      errors: changesOf(await runner.floats(errors)),
      bounds,
    };
  }
}

/** Relative L2 change of each task and head. */
const changesOf = (found: Float32Array): Float32Array =>
  Float32Array.from({ length: found.length / FOUND_FLOATS }, (_, i) =>
    Math.sqrt(found[FOUND_FLOATS * i]! / found[FOUND_FLOATS * i + 1]!),
  );

const HEADS = [
  headsOf(64, 9, 3),
  { ...headsOf(32, 4, 1), attentionScale: 0.07 },
  headsOf(80, 3, 1),
  headsOf(128, 2, 2),
  headsOf(256, 3, 1),
];

describeVariants(['cpu', 'cpu, without shader-f16'], (getRunner) => {
  it.each(byTier(HEADS.slice(0, 1), HEADS))(
    'merges a page in f16, or a sparse one, into fewer entries, $numHeads heads over $numKvHeads of $headDim',
    async (heads) => {
      const merging = new Merging(heads, randomCache(heads, PAGES, new Random(35)), TASKS, ropeOf(heads.headDim, 352));
      const { bytes, probes } = await merging.run(getRunner());
      const untouched = merging.cache.bytes.length;
      expect(bytes.subarray(0, untouched)).toEqual(merging.cache.bytes);
      for (const [task, [at, count]] of TASKS.entries()) {
        const sources = entriesOf(merging.cache, at);
        for (let kvHead = 0; kvHead < heads.numKvHeads; kvHead++) {
          const want = merged(sources[kvHead] ?? [], merging.asking(probes, kvHead, pageOf(at).base), count);
          const got = merging.read(bytes, task, kvHead);
          for (const part of ['key', 'value'] as const) {
            expectClose(
              'merge-page-tokens',
              got.flatMap((entry) => [...entry[part]]),
              want.flatMap((entry) => [...entry[part]]),
            );
          }
          got.forEach(({ raised }, j) => expect(raised).toBeCloseTo(want[j]?.raised ?? NaN, 2));
        }
      }
    },
  );

  it('merges equal keys into one without changing the output', async () => {
    const heads = headsOf(64, 9, 3);
    const cache = randomCache(heads, PAGES, new Random(37));
    // The f16 page at 288: token j has the key of token j mod 4, and so its value.
    const start = (cache.table[4 * 8] ?? 0) * UNIT_BYTES;
    const rowBytes = heads.headDim * 2;
    for (let row = 0; row < 2 * heads.numKvHeads * PAGE_TOKENS; row++) {
      const from = start + (row - (row % PAGE_TOKENS) + (row % 4)) * rowBytes;
      cache.bytes.copyWithin(start + row * rowBytes, from, from + rowBytes);
    }
    const { errors } = await new Merging(
      heads,
      cache,
      [
        [8, 8],
        [8, 4],
      ],
      ropeOf(64, 352),
    ).run(getRunner());
    for (const error of errors.subarray(heads.numHeads)) expect(error).toBeLessThan(1e-3);
  });

  it('merging entries changes the output less than evicting them', async () => {
    const heads = headsOf(64, 9, 3);
    const runner = getRunner();
    const merging = new Merging(heads, randomCache(heads, PAGES, new Random(40)), [[8, 8]], ropeOf(64, 352));
    const { bytes, probes, errors, bounds } = await merging.run(runner);
    const dropped = bytes.slice();
    const count = 8;
    const start = (merging.tasks[12] ?? 0) * UNIT_BYTES;
    for (let kvHead = 0; kvHead < heads.numKvHeads; kvHead++) {
      const sources = entriesOf(merging.cache, 8)[kvHead] ?? [];
      const kept = merged(sources, merging.asking(probes, kvHead, pageOf(8).base), sources.length).slice(0, count);
      for (const [part, first] of [
        ['key', kvHead],
        ['value', heads.numKvHeads + kvHead],
      ] as const) {
        const halves = toHalves(kept.flatMap((entry) => [...(part === 'key' ? entry.key : rotatedValue(entry.value))]));
        dropped.set(new Uint8Array(halves.buffer), start + first * count * heads.headDim * 2);
      }
    }
    dropped.fill(0, start + 4 * heads.numKvHeads * count * heads.headDim);
    const without = runner.empty(2 * heads.numHeads * FOUND_BYTES);
    const params = { first: 1, count: 1, together: 1, queries: QUERIES, slot: 0, position: POSITION };
    const kv = runner.upload(new Uint32Array(dropped.buffer));
    runner.run(probePageKernel(runner.device, heads), { ...bounds, kv, errors: without }, { found: 1 }, params);
    const droppedErrors = changesOf(await runner.floats(without)).subarray(heads.numHeads);
    const mean = (of: Float32Array): number => of.reduce((sum, x) => sum + x, 0) / of.length;
    expect(mean(errors.subarray(heads.numHeads))).toBeLessThan(0.7 * mean(droppedErrors));
  });
});
