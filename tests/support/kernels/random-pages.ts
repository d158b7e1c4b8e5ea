import { type Heads, PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import {
  CODE_BITS,
  headLayout,
  type PageForm,
  pageEntry,
  pageUnits,
  type QuantizedForm,
  SPARSE_FORM,
  sparseHead,
  sparseUnits,
  UNIT_BYTES,
} from '../../../src/kernels/formats/page-forms.ts';
import { rotatedValue } from '../../reference/kernels/paged-heads.ts';
import type { Random } from '../random.ts';
import { decodeHead, fromHalves, toHalves } from './pages.ts';

/** A key, rotated by its offset in its page; its value, before the rotation of values. */
export interface Entry {
  base: number;
  key: Float64Array;
  value: Float64Array;
}

export interface Page {
  form: PageForm;
  base: number;
  /** Of a sparse page: how many entries each head has, and how far their base is from the page's. Default: none. */
  slotOf?: (kvHead: number) => { entries: number; from: number } | undefined;
}

const slotsOf = ({ numKvHeads }: Heads, { slotOf = () => undefined }: Page) =>
  Array.from({ length: numKvHeads }, (_, kvHead) => slotOf(kvHead));

function unitsOf(heads: Heads, page: Page): number {
  if (page.form !== 'sparse') return pageUnits(page.form, heads);
  return sparseUnits(heads, slotsOf(heads, page).filter((slot) => slot !== undefined).length);
}

const mostEntries = (heads: Heads, page: Page): number =>
  page.form === 'sparse' ? Math.max(...slotsOf(heads, page).map((slot) => slot?.entries ?? 0)) : PAGE_TOKENS;

export interface Cache {
  bytes: Uint8Array;
  table: Uint32Array;
  /** Entries of each key/value head. */
  heads: Entry[][];
}

/** Consecutive pages of random contents. */
export function randomCache(heads: Heads, pages: readonly Page[], random: Random): Cache {
  const offsets: number[] = [];
  let units = 0;
  for (const page of pages) {
    offsets.push(units);
    units += unitsOf(heads, page);
  }
  const cache: Cache = {
    bytes: new Uint8Array(units * UNIT_BYTES),
    table: Uint32Array.from(
      pages.flatMap((page, i) => pageEntry(offsets[i] ?? 0, page.form, mostEntries(heads, page), page.base)),
    ),
    heads: Array.from({ length: heads.numKvHeads }, () => []),
  };
  pages.forEach((page, i) => {
    const bytes = cache.bytes.subarray((offsets[i] ?? 0) * UNIT_BYTES);
    const { form } = page;
    if (form === 'f16') fillHalves(heads, page, bytes, cache.heads, random);
    else if (form === 'sparse') fillSlots(heads, page, bytes, cache.heads, random);
    else fillCodes(heads, { ...page, form }, bytes, cache.heads, random);
  });
  return cache;
}

function fillHalves(
  { numKvHeads, headDim }: Heads,
  { base }: Page,
  bytes: Uint8Array,
  into: Entry[][],
  random: Random,
): void {
  const count = numKvHeads * PAGE_TOKENS * headDim;
  const halves = toHalves(random.normals(2 * count));
  bytes.set(new Uint8Array(halves.buffer));
  const floats = fromHalves(halves);
  into.forEach((head, kvHead) => {
    for (let j = 0; j < PAGE_TOKENS; j++) {
      const at = (kvHead * PAGE_TOKENS + j) * headDim;
      head.push({
        base,
        key: floats.slice(at, at + headDim),
        value: rotatedValue(floats.slice(count + at, count + at + headDim)),
      });
    }
  });
}

function fillCodes(
  { headDim }: Heads,
  { form, base }: Page & { form: QuantizedForm },
  bytes: Uint8Array,
  into: Entry[][],
  random: Random,
): void {
  const { units } = headLayout(form, headDim);
  into.forEach((head, kvHead) => {
    const own = bytes.subarray(kvHead * units * UNIT_BYTES, (kvHead + 1) * units * UNIT_BYTES);
    fillHead(headDim, { form, base, entries: PAGE_TOKENS }, own, head, random);
  });
}

/** The heads of a sparse page, one after another after its head. */
function fillSlots(heads: Heads, page: Page, bytes: Uint8Array, into: Entry[][], random: Random): void {
  const slots = slotsOf(heads, page);
  const words = sparseHead(heads, slots);
  if (mostEntries(heads, page) > 0) bytes.set(new Uint8Array(words.buffer));
  slots.forEach((slot, kvHead) => {
    if (!slot) return;
    const own = bytes.subarray((words[2 * kvHead] ?? 0) * UNIT_BYTES);
    const whole = own.subarray(0, headLayout(SPARSE_FORM, heads.headDim).units * UNIT_BYTES);
    const head = { form: SPARSE_FORM, base: page.base + slot.from, entries: slot.entries } as const;
    fillHead(heads.headDim, head, whole, into[kvHead] ?? [], random);
  });
}

function fillHead(
  headDim: number,
  { form, base, entries }: { form: QuantizedForm; base: number; entries: number },
  own: Uint8Array,
  head: Entry[],
  random: Random,
): void {
  own.set(Uint8Array.from(own, () => Math.floor(256 * random.next())));
  const halves = new Uint16Array(own.buffer, own.byteOffset, own.byteLength / 2);
  const { key, value } = CODE_BITS[form];
  const isOrdered = key < 8; // some quants have one bit more
  halves.set(
    toHalves([2 / (2 ** (isOrdered ? key + 1 : key) - 1), 1, -random.next(), 0, 2 / (2 ** value - 1), 0, 0, 0]),
  );
  const { keyOrder } = headLayout(form, headDim);
  if (isOrdered) own.set(randomOrder(headDim / 8, random), keyOrder * UNIT_BYTES);
  const { keys, values } = decodeHead(form, own, headDim);
  for (let j = 0; j < entries; j++) {
    const of = (part: Float64Array): Float64Array => part.slice(j * headDim, (j + 1) * headDim);
    head.push({ base, key: of(keys), value: rotatedValue(of(values)) });
  }
}

/** A random order of pairs of vectors: the pair at each place, and the place of each pair, `[count, 2]`. */
function randomOrder(count: number, random: Random): Uint8Array {
  const pairs = Array.from({ length: count }, (_, pair) => ({ pair, at: random.next() })).sort((a, b) => a.at - b.at);
  return Uint8Array.from(pairs.flatMap(({ pair }, slot) => [pair, pairs.findIndex((other) => other.pair === slot)]));
}
