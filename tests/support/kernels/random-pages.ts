import { type Heads, PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import {
  CODE_BITS,
  entriesOf,
  headLayout,
  type PageForm,
  pageEntry,
  pageUnits,
  type QuantizedForm,
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
}

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
  for (const { form } of pages) {
    offsets.push(units);
    units += pageUnits(form, heads);
  }
  const cache: Cache = {
    bytes: new Uint8Array(units * UNIT_BYTES),
    table: Uint32Array.from(
      pages.flatMap(({ form, base }, i) => pageEntry(offsets[i] ?? 0, form, entriesOf(form), base)),
    ),
    heads: Array.from({ length: heads.numKvHeads }, () => []),
  };
  pages.forEach((page, i) => {
    const bytes = cache.bytes.subarray((offsets[i] ?? 0) * UNIT_BYTES);
    const { form } = page;
    if (form === 'f16') fillHalves(heads, page, bytes, cache.heads, random);
    else if (form !== 'sparse') fillCodes(heads, { ...page, form }, bytes, cache.heads, random);
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
    for (let j = 0; j < PAGE_TOKENS; j++) {
      const of = (part: Float64Array): Float64Array => part.slice(j * headDim, (j + 1) * headDim);
      head.push({ base, key: of(keys), value: rotatedValue(of(values)) });
    }
  });
}

/** A random order of pairs of vectors: the pair at each place, and the place of each pair, `[count, 2]`. */
function randomOrder(count: number, random: Random): Uint8Array {
  const pairs = Array.from({ length: count }, (_, pair) => ({ pair, at: random.next() })).sort((a, b) => a.at - b.at);
  return Uint8Array.from(pairs.flatMap(({ pair }, slot) => [pair, pairs.findIndex((other) => other.pair === slot)]));
}
