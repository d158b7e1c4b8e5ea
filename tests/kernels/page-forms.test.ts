import { expect, it } from 'vitest';
import { attentionGroups, attentionKernel, partialFloats } from '../../src/kernels/attention.ts';
import { attentionMergeGroups, attentionMergeKernel } from '../../src/kernels/attention-merge.ts';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { headLayout, type PageForm, pageEntry, pageUnits, UNIT_BYTES } from '../../src/kernels/page-forms.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { decodeHead } from '../../src/reference/kernels/page-forms.ts';
import { rotateHead } from '../../src/reference/kernels/paged-heads.ts';
import { dot, softmax } from '../../src/reference/operations.ts';
import { Random } from '../weights/random.ts';
import { expectClose } from './expect-close.ts';
import { fromHalves, headsOf, ropeOf, toHalves } from './pages.ts';
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
  const { units, keyCodes, valueRanges, valueCodes } = headLayout(form, headDim);
  into.forEach((head, kvHead) => {
    const own = bytes.subarray(kvHead * units * UNIT_BYTES, (kvHead + 1) * units * UNIT_BYTES);
    own.set(Uint8Array.from(own, () => Math.floor(256 * random.next())));
    const halves = new Uint16Array(own.buffer, own.byteOffset, own.byteLength / 2);
    const scale = () => (random.next() * 4) / (form === 'q8' ? 255 : 15);
    const minimum = () => -2 * random.next();
    for (let i = 0; i < 2 * headDim; i++) halves.set(toHalves([i % 32 < 16 ? scale() : minimum()]), i);
    for (let i = valueRanges * 4; i < valueCodes * 4; i++) halves.set(toHalves([i % 2 === 0 ? scale() : minimum()]), i);
    expect(keyCodes * 4).toBe(2 * headDim);
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

async function attend(runner: Runner, heads: Heads, qkv: Float32Array, positions: readonly number[], pages: readonly Page[], cache: Cache, rope: Float32Array, pagesPerSplit: number) {
  const { device } = runner;
  const { numHeads, headDim } = heads;
  const tokens = positions.length;
  const splits = Math.ceil(pages.length / pagesPerSplit);
  const pageOf = (position: number) => pages.findIndex(({ base }) => base === position - (position % PAGE_TOKENS));
  const table = batchTable(positions.map((position) => ({ place: 0, position, firstPage: 0, page: pageOf(position) })));
  const partial_outputs = runner.empty(tokens * splits * numHeads * partialFloats(headDim) * 4);
  const y = runner.empty(tokens * numHeads * headDim * 4);
  const kv = runner.upload(new Uint32Array(cache.bytes.buffer));
  const bounds = { batch_table: runner.upload(table), qkv: runner.upload(qkv), kv, pages: runner.upload(cache.table), rope: runner.upload(rope) };
  const groups = attentionGroups(device, heads, tokens, splits);
  runner.run(attentionKernel(device, heads), { ...bounds, partial_outputs }, groups, { tokens, splits, pagesPerSplit });
  runner.run(attentionMergeKernel(device, heads), { partial_outputs, y }, attentionMergeGroups(device, heads, tokens), { tokens, splits });
  return runner.floats(y);
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
    const { numHeads, numKvHeads, headDim } = heads;
    const random = new Random(33);
    const cache = randomCache(heads, PAGES, random);
    const rope = ropeOf(headDim, 352);
    for (const [positions, pagesPerSplit] of [[[330], 1], [[351, 351], 3], [[288, 295, 319, 320, 340], 10]] as const) {
      const width = (numHeads + 2 * numKvHeads) * headDim;
      const qkv = random.normals(positions.length * width);
      const queries = Float64Array.from(positions.flatMap((_, t) => [...qkv.subarray(t * width, t * width + numHeads * headDim)]));
      const got = await attend(getRunner(), heads, qkv, positions, PAGES, cache, rope, pagesPerSplit);
      expectClose('attention', got, twin(heads, queries, positions, cache, rope));
    }
  });
});
