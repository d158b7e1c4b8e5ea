import { type Heads, PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import {
  CODE_BITS,
  headLayout,
  pageEntry,
  pageUnits,
  type QuantizedForm,
} from '../../../src/kernels/formats/page-forms.ts';
import { batchTable } from '../../../src/layers/batch.ts';
import { decodeHead as decode, type DecodedHead } from '../../reference/kernels/page-forms.ts';
import { floatToHalf, halfToFloat } from '../../reference/half.ts';
import type { PagedHeads } from '../../reference/kernels/paged-heads.ts';
import type { Random } from '../random.ts';

/** Rotation angles of `positions` positions: `[position, 2, headDim / 2]`, cos then sin. */
export function ropeOf(headDim: number, positions: number, theta = 10_000): Float32Array {
  const half = headDim / 2;
  return Float32Array.from({ length: positions * headDim }, (_, i) => {
    const angle = Math.floor(i / headDim) * theta ** (-(i % half) / half);
    return i % headDim < half ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Logical pages for `tokens` tokens, shuffled among `spare` more physical ones. */
export function shuffledPages(tokens: number, random: Random, spare = 3): Uint32Array {
  const physical = Array.from({ length: Math.ceil(tokens / PAGE_TOKENS) + spare }, (_, page) => page);
  const shuffled = physical.map((page) => ({ page, key: random.next() })).sort((a, b) => a.key - b.key);
  return Uint32Array.from(shuffled.slice(0, physical.length - spare), ({ page }) => page);
}

export const headsOf = (headDim: number, numHeads: number, numKvHeads: number): Heads => ({
  ...{ headDim, numHeads, numKvHeads },
  ...{ qkNorm: false, rmsNormEps: 1e-6 },
});

/** The page table of these physical pages in order, all in f16. */
export const pageTable = (heads: Heads, pages: Uint32Array): Uint32Array =>
  Uint32Array.from(
    [...pages].flatMap((page, i) => pageEntry(page * pageUnits('f16', heads), 'f16', PAGE_TOKENS, i * PAGE_TOKENS)),
  );

/** The batch table of `tokens` tokens from `position` on of the only sequence in the page table. */
export const tableOf = (tokens: number, position: number): Uint32Array =>
  batchTable(
    Array.from({ length: tokens }, (_, i) => ({
      place: i,
      position: position + i,
      firstPage: 0,
      page: pageOf(position + i),
    })),
  );

export const pageOf = (position: number): number => Math.floor(position / PAGE_TOKENS);

/** Elements of a cache with the pages of `pages` and up to three more. */
export const cacheElements = ({ numKvHeads, headDim }: Heads, pages: Uint32Array): number =>
  (pages.length + 3) * 2 * numKvHeads * PAGE_TOKENS * headDim;

export const pagedHeads = (heads: Heads, pages: Uint32Array): PagedHeads => ({
  ...heads,
  pageTokens: PAGE_TOKENS,
  pages,
});

// Loops take a fifth of the time of `from` with a function: caches have millions of elements.
export function toHalves(values: ArrayLike<number>): Uint16Array {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) halves[i] = floatToHalf(values[i]!);
  return halves;
}

export function fromHalves(halves: Uint16Array): Float64Array {
  const values = new Float64Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = halfToFloat(halves[i]!);
  return values;
}

/** Decodes a head of a quantized page, which begins at `bytes`. */
export const decodeHead = (form: QuantizedForm, bytes: Uint8Array, headDim: number): DecodedHead =>
  decode(CODE_BITS[form], bytes, headDim, PAGE_TOKENS, headLayout(form, headDim));
