import { expect, it } from 'vitest';
import { attentionGroups, attentionKernel, partialFloats } from '../../src/kernels/attention.ts';
import { attentionMergeGroups, attentionMergeKernel } from '../../src/kernels/attention-merge.ts';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { headLayout, type PageForm, pageEntry, pageUnits, UNIT_BYTES } from '../../src/kernels/page-forms.ts';
import { PROBES, probeFloats, probePageGroups, probePageKernel } from '../../src/kernels/probe-page.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { rotateHead } from '../../src/reference/kernels/paged-heads.ts';
import { dot, softmax } from '../../src/reference/operations.ts';
import { Random } from '../weights/random.ts';
import { expectClose } from './expect-close.ts';
import { decodeHead, fromHalves, headsOf, ropeOf, toHalves } from './pages.ts';
import { describeVariants, HALF_VARIANTS, type Runner } from './runner.ts';

/** A key as its page has it, rotated by its offset there. */
interface Entry {
  base: number;
  key: Float64Array;
  value: Float64Array;
  logWeight: number;
}

interface Page {
  form: PageForm;
  entries: number;
  base: number;
}

interface Cache {
  bytes: Uint8Array;
  table: Uint32Array;
  /** Of each key/value head. */
  heads: Entry[][];
}

/** Pages of random contents, one behind another. */
function randomCache(heads: Heads, pages: readonly Page[], random: Random): Cache {
  const offsets: number[] = [];
  let units = 0;
  for (const { form, entries } of pages) {
    offsets.push(units);
    units += pageUnits(form, heads, entries);
  }
  const cache: Cache = {
    bytes: new Uint8Array(units * UNIT_BYTES),
    table: Uint32Array.from(pages.flatMap(({ form, entries, base }, i) => pageEntry(offsets[i] ?? 0, form, entries, base))),
    heads: Array.from({ length: heads.numKvHeads }, () => []),
  };
  pages.forEach((page, i) => {
    const bytes = cache.bytes.subarray((offsets[i] ?? 0) * UNIT_BYTES);
    const { form } = page;
    if (form === 'f16' || form === 'sparse') fillHalves(heads, page, bytes, cache.heads, random);
    else fillCodes(heads, { ...page, form }, bytes, cache.heads, random);
  });
  return cache;
}

function fillHalves({ numKvHeads, headDim }: Heads, { form, entries, base }: Page, bytes: Uint8Array, into: Entry[][], random: Random): void {
  const count = numKvHeads * entries * headDim;
  const halves = toHalves(random.normals(2 * count));
  bytes.set(new Uint8Array(halves.buffer));
  const logWeights = form === 'sparse' ? Float32Array.from(random.normals(numKvHeads * entries), (x) => Math.abs(x)) : undefined;
  if (logWeights) bytes.set(new Uint8Array(logWeights.buffer), 4 * count);
  const floats = fromHalves(halves);
  into.forEach((head, kvHead) => {
    for (let j = 0; j < entries; j++) {
      const at = (kvHead * entries + j) * headDim;
      const logWeight = logWeights?.[kvHead * entries + j] ?? 0;
      head.push({ base, key: floats.slice(at, at + headDim), value: floats.slice(count + at, count + at + headDim), logWeight });
    }
  });
}

function fillCodes(
  { headDim }: Heads,
  { form, base }: Page & { form: 'q8' | 'q4' },
  bytes: Uint8Array,
  into: Entry[][],
  random: Random,
): void {
  const { units } = headLayout(form, headDim);
  into.forEach((head, kvHead) => {
    const own = bytes.subarray(kvHead * units * UNIT_BYTES, (kvHead + 1) * units * UNIT_BYTES);
    own.set(Uint8Array.from(own, () => Math.floor(256 * random.next())));
    const halves = new Uint16Array(own.buffer, own.byteOffset, own.byteLength / 2);
    for (const steps of [0, 4]) halves.set(toHalves([4 / (form === 'q8' ? 255 : 15), 2, -2 * random.next()]), steps);
    const { keys, values } = decodeHead(form, own, headDim);
    for (let j = 0; j < PAGE_TOKENS; j++) {
      const of = (part: Float64Array): Float64Array => part.slice(j * headDim, (j + 1) * headDim);
      head.push({ base, key: of(keys), value: of(values), logWeight: 0 });
    }
  });
}

/** What the queries `[T, numHeads, headDim]` of tokens at `positions` see: entries on pages before theirs, and on it. */
function twin(heads: Heads, queries: Float64Array, positions: readonly number[], cache: Cache, rope: Float32Array): Float64Array {
  const { numHeads, numKvHeads, headDim } = heads;
  const y = new Float64Array(queries.length);
  positions.forEach((position, token) => {
    for (let head = 0; head < numHeads; head++) {
      const at = (token * numHeads + head) * headDim;
      const query = queries.slice(at, at + headDim);
      const last = position - (position % PAGE_TOKENS);
      const own = cache.heads[Math.floor(head / (numHeads / numKvHeads))] ?? [];
      const seen = own.filter(({ base }, i) => base < last || (base === last && i - own.findIndex((entry) => entry.base === last) <= position - last));
      const scores = seen.map(({ key, base, logWeight }) => dot(rotateHead(query, position - base, rope), key) / Math.sqrt(headDim) + logWeight);
      softmax(Float64Array.from(scores)).forEach((weight, j) => {
        seen[j]?.value.forEach((value, i) => (y[at + i]! += weight * value));
      });
    }
  });
  return y;
}

interface Attended {
  /** `[T, numHeads, headDim]` */
  y: GPUBuffer;
  probes: GPUBuffer;
}

interface Shown {
  heads: Heads;
  qkv: GPUBuffer;
  rope: GPUBuffer;
  kv: GPUBuffer;
  positions: readonly number[];
}

/** Attention of the tokens at `positions` to these pages, by the entries of `table`. */
function attend(runner: Runner, { heads, positions, ...buffers }: Shown, pages: readonly Page[], table: Uint32Array, pagesPerSplit: number): Attended {
  const { device } = runner;
  const { numHeads, headDim } = heads;
  const tokens = positions.length;
  const splits = Math.ceil(pages.length / pagesPerSplit);
  const pageOf = (position: number) => pages.findIndex(({ base }) => base === position - (position % PAGE_TOKENS));
  const batch = batchTable(positions.map((position) => ({ place: 0, position, firstPage: 0, page: pageOf(position) })));
  const partial_outputs = runner.empty(tokens * splits * numHeads * partialFloats(headDim) * 4);
  const y = runner.empty(tokens * numHeads * headDim * 4);
  const probes = runner.empty(PROBES * numHeads * probeFloats(headDim) * 4);
  const bounds = { ...buffers, batch_table: runner.upload(batch), pages: runner.upload(table), partial_outputs, y, probes };
  runner.run(attentionKernel(device, heads), bounds, attentionGroups(device, heads, tokens, splits), { tokens, splits, pagesPerSplit });
  const params = { tokens, splits, slotPages: pages.length };
  runner.run(attentionMergeKernel(device, heads), bounds, attentionMergeGroups(device, heads, tokens), params);
  return { y, probes };
}

const HEADS = [headsOf(64, 9, 3), headsOf(32, 4, 1), headsOf(64, 3, 3), headsOf(64, 8, 1), headsOf(80, 3, 1), headsOf(96, 2, 2), headsOf(128, 4, 1), headsOf(256, 3, 1)];

/** Every form beside every other, one entry alone, and bases as they are once tokens in between were dropped. */
const PAGES: Page[] = [
  { form: 'f16', entries: PAGE_TOKENS, base: 0 },
  { form: 'q4', entries: PAGE_TOKENS, base: 32 },
  { form: 'q8', entries: PAGE_TOKENS, base: 64 },
  { form: 'sparse', entries: 7, base: 96 },
  { form: 'q4', entries: PAGE_TOKENS, base: 128 },
  { form: 'sparse', entries: 1, base: 160 },
  { form: 'sparse', entries: 32, base: 224 },
  { form: 'q8', entries: PAGE_TOKENS, base: 256 },
  { form: 'f16', entries: PAGE_TOKENS, base: 288 },
  { form: 'f16', entries: PAGE_TOKENS, base: 320 },
];

describeVariants(HALF_VARIANTS, (getRunner) => {
  it.each(HEADS)('attends to pages of every form, $numHeads heads over $numKvHeads of $headDim', async (heads) => {
    const { numHeads, headDim } = heads;
    const random = new Random(33);
    const cache = randomCache(heads, PAGES, random);
    const rope = ropeOf(headDim, 352);
    for (const [positions, pagesPerSplit] of [[[330], 1], [[351, 351], 3], [[288, 295, 319, 320, 340], 10]] as const) {
      const runner = getRunner();
      const { width, qkv } = randomRows(heads, positions.length, random);
      const queries = Float64Array.from(positions.flatMap((_, t) => [...qkv.subarray(t * width, t * width + numHeads * headDim)]));
      const shown = { heads, positions, qkv: runner.upload(qkv), rope: runner.upload(rope), kv: upload(runner, cache) };
      const { y } = attend(runner, shown, PAGES, cache.table, pagesPerSplit);
      expectClose('attention', await runner.floats(y), twin(heads, queries, positions, cache, rope));
    }
  });

  it.each(HEADS.slice(0, 3))('probes how far another form of a page moves the output, $numHeads heads over $numKvHeads of $headDim', async (heads) => {
    const { numHeads, headDim } = heads;
    const random = new Random(34);
    const runner = getRunner();
    // Behind the pages that are attended to lie those that could take the place of some of them.
    const others: [at: number, Page][] = [
      [1, { form: 'q8', entries: PAGE_TOKENS, base: 32 }],
      [4, { form: 'sparse', entries: 3, base: 128 }],
      [7, { form: 'f16', entries: PAGE_TOKENS, base: 256 }],
    ];
    const cache = randomCache(heads, [...PAGES, ...others.map(([, page]) => page)], random);
    const entryAt = (i: number) => cache.table.subarray(4 * i, 4 * i + 4);
    const table = cache.table.subarray(0, 4 * PAGES.length);
    const positions = [345, 346, 347, 348, 349, 350];
    const { qkv } = randomRows(heads, positions.length, random);
    const shown = { heads, positions, qkv: runner.upload(qkv), rope: runner.upload(ropeOf(headDim, 352)), kv: upload(runner, cache) };
    const { y, probes } = attend(runner, shown, PAGES, table, 3);
    const tasks = Uint32Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...others.flatMap(([at], i) => [...entryAt(at), ...entryAt(PAGES.length + i)])]);
    const errors = runner.empty((others.length + 1) * numHeads * 4);
    const bounds = { kv: shown.kv, rope: shown.rope, qkv: probes, tasks: runner.upload(tasks), errors };
    const params = { first: 1, count: others.length, queries: 3, slot: 0, position: 350 };
    runner.run(probePageKernel(runner.device, heads), bounds, probePageGroups(runner.device, heads, others.length), params);
    const got = await runner.floats(errors);
    const plain = await runner.floats(y);
    for (const [i, [at]] of others.entries()) {
      const replaced = table.slice();
      replaced.set(entryAt(PAGES.length + i), 4 * at);
      const moved = await runner.floats(attend(runner, shown, PAGES, replaced, 3).y);
      for (let head = 0; head < numHeads; head++) {
        let [change, size] = [0, 0];
        for (const token of [3, 4, 5]) {
          for (let j = 0; j < headDim; j++) {
            const index = (token * numHeads + head) * headDim + j;
            change += ((moved[index] ?? NaN) - (plain[index] ?? NaN)) ** 2;
            size += (plain[index] ?? NaN) ** 2;
          }
        }
        expect(got[(i + 1) * numHeads + head]).toBeCloseTo(Math.sqrt(change / size), 4);
      }
    }
    expect(got.subarray(0, numHeads)).toEqual(new Float32Array(numHeads));
  });
});

function randomRows({ numHeads, numKvHeads, headDim }: Heads, tokens: number, random: Random) {
  const width = (numHeads + 2 * numKvHeads) * headDim;
  return { width, qkv: random.normals(tokens * width) };
}

const upload = (runner: Runner, { bytes }: Cache): GPUBuffer => runner.upload(new Uint32Array(bytes.buffer));
