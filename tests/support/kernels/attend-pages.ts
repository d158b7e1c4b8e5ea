import { attentionKernels, attentionMergeKernels, partialFloats } from '../../../src/kernels/attention.ts';
import { type Heads, PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import { probeFloats, PROBES } from '../../../src/kernels/pages.ts';
import { type BatchShape, batchTable } from '../../../src/layers/batch.ts';
import type { Random } from '../random.ts';
import type { Cache, Page } from './random-pages.ts';
import type { Runner } from './runner.ts';

/** Pages of all forms next to each other, one without entries, one with other entries for each head, and bases with gaps, as after an eviction. */
export const PAGES: Page[] = [
  { form: 'f16', base: 0 },
  { form: 'q4', base: 32 },
  { form: 'q8', base: 64 },
  { form: 'f16', base: 96 },
  { form: 'q3', base: 128 },
  { form: 'sparse', base: 160 },
  {
    ...{ form: 'sparse', base: 192 },
    slotOf: (kvHead) => (kvHead % 3 === 1 ? undefined : { entries: kvHead === 0 ? 7 : 32, from: 32 * kvHead - 96 }),
  },
  { form: 'f16', base: 224 },
  { form: 'k3v2', base: 256 },
  { form: 'f16', base: 288 },
  { form: 'f16', base: 320 },
];

export interface Attended {
  /** `[T, numHeads, headDim]` */
  y: GPUBuffer;
  probes: GPUBuffer;
  /** Unless a decode has one split: `[T, splits, numHeads, headDim + 4]`. */
  partial_outputs: GPUBuffer;
  splits: number;
}

export interface Shown {
  heads: Heads;
  qkv: GPUBuffer;
  rope: GPUBuffer;
  kv: GPUBuffer;
  positions: readonly number[];
  /** Default: a prefill. */
  kind?: BatchShape['kind'];
  /** Parts that a page is split into, in decode. Default: 1. */
  pageParts?: number;
}

/** Attention of tokens at `positions` to the pages of `table`; each split has `perSplit` pages or parts of pages. */
export function attend(
  runner: Runner,
  { heads, positions, kind = 'prefill', pageParts = 1, ...buffers }: Shown,
  pages: readonly Page[],
  table: Uint32Array,
  perSplit: number,
): Attended {
  const { device } = runner;
  const { numHeads, headDim } = heads;
  const tokens = positions.length;
  const splits = Math.ceil((pages.length * pageParts) / perSplit);
  const pageOf = (position: number) => pages.findIndex(({ base }) => base === position - (position % PAGE_TOKENS));
  const batch = batchTable(positions.map((position) => ({ place: 0, position, firstPage: 0, page: pageOf(position) })));
  const partial_outputs = runner.empty(tokens * splits * numHeads * partialFloats(headDim) * 4);
  const y = runner.empty(tokens * numHeads * headDim * 4);
  const probes = runner.empty(PROBES * numHeads * probeFloats(headDim) * 4);
  const bounds = {
    ...buffers,
    batch_table: runner.upload(batch),
    pages: runner.upload(table),
    partial_outputs,
    y,
    probes,
  };
  const kernel = attentionKernels(device, heads, { allF16: false, stores: false })[kind];
  const params = {
    tokens,
    splits,
    pagesPerSplit: perSplit,
    partsPerSplit: perSplit,
    pageParts,
    slotPages: pages.length,
    firstToken: 0,
  };
  runner.run(kernel, bounds, { tokens, splits }, params);
  if (splits > 1 || kernel.alwaysMerged)
    runner.run(attentionMergeKernels(device, heads)[kind], bounds, { tokens }, params);
  return { y, probes, partial_outputs, splits };
}

export function randomRows({ numHeads, numKvHeads, headDim }: Heads, tokens: number, random: Random) {
  const width = (numHeads + 2 * numKvHeads) * headDim;
  return { width, qkv: random.normals(tokens * width) };
}

/** The bytes of the pages. */
export const upload = (runner: Runner, { bytes }: Cache): GPUBuffer => runner.upload(new Uint32Array(bytes.buffer));
