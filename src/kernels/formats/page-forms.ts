import type { Constant } from '../../gpu/kernel.ts';
import { type Heads, PAGE_TOKENS } from '../heads.ts';

/**
 * Forms of a KV cache page of one layer. `f16`: every token. `q8`, `q4`, `q3`, `k3v2`: quants of 8, 4, 3 bits, and 3 bits with
 * 2-bit values; keys have a range a channel, values a scale a token. `sparse`: entries from many pages in k3v2, for each head
 * others, or none; see `sparseUnits`.
 */
export const PAGE_FORMS = ['f16', 'q8', 'q4', 'q3', 'k3v2', 'sparse'] as const;
export type PageForm = (typeof PAGE_FORMS)[number];
export type QuantizedForm = 'q8' | 'q4' | 'q3' | 'k3v2';
/** Bytes of a unit of offsets in a layer's buffer, which kernels read as vec2u. */
export const UNIT_BYTES = 8;

type Shape = Pick<Heads, 'numKvHeads' | 'headDim'>;

/** Bits of keys and of values. Keys need more: the error of a key enters the exponent of a score. */
export const CODE_BITS: Record<QuantizedForm, { key: number; value: number }> = {
  q8: { key: 8, value: 8 },
  q4: { key: 4, value: 4 },
  q3: { key: 3, value: 3 },
  k3v2: { key: 3, value: 2 },
};

/** Offsets of the parts of a quantized head, in units; its steps come first. */
export interface HeadLayout {
  keyRanges: number;
  keyOrder: number;
  keyCodes: number;
  valueScales: number;
  valueCodes: number;
  /** Units of one token's quants. */
  keyRow: number;
  valueRow: number;
  units: number;
}

/**
 * A quantized head is, in this order: steps, f16 `[largest scale, span of minima, lowest minimum, 0]` of the keys and
 * `[largest scale, 0, 0, 0]` of the values · key ranges `[headDim / 16, 2 (scale, minimum), 16]` u8 · the keys' order, except
 * for 8 bits · key quants · value scales `[PAGE_TOKENS]` u8 · value quants. A range's scale is its code · largest scale / 255;
 * its minimum is its code · span / 255 + lowest minimum. A value is (quant − largest quant / 2) · scale.
 *
 * Channels vary by very different amounts within a page. With 3 and 4 bits, the quarter of the key channels that varies most
 * has one bit more, and the quarter that varies least one bit less. Ranges and quants are therefore sorted by places of eight
 * channels; the order is `[headDim / 8, 2]` u8: the pair of vectors at a place, and the place of a pair. page-layout.wgsl has
 * the layout of quants in a row.
 */
export function headLayout(form: QuantizedForm, headDim: number): HeadLayout {
  const { key, value } = CODE_BITS[form];
  const rowOf = (bits: number): number => Math.ceil((headDim * bits) / 8 / UNIT_BYTES);
  const [keyRow, valueRow] = [rowOf(key), rowOf(value)];
  const keyRanges = 2;
  const keyOrder = keyRanges + (headDim * 2) / UNIT_BYTES;
  const keyCodes = keyOrder + (key < 8 ? Math.ceil((2 * headDim) / 8 / UNIT_BYTES) : 0);
  const valueScales = keyCodes + PAGE_TOKENS * keyRow;
  const valueCodes = valueScales + PAGE_TOKENS / UNIT_BYTES;
  return {
    keyRanges,
    keyOrder,
    keyCodes,
    valueScales,
    valueCodes,
    keyRow,
    valueRow,
    units: valueCodes + PAGE_TOKENS * valueRow,
  };
}

/** Form of the entries of sparse pages. */
export const SPARSE_FORM = 'k3v2';

/** Units of a sparse page that has entries of `heads` heads: a unit for each head, then these; see page-layout.wgsl. */
export const sparseUnits = ({ numKvHeads, headDim }: Shape, heads: number): number =>
  heads === 0 ? 0 : numKvHeads + heads * headLayout(SPARSE_FORM, headDim).units;

/** Words at the start of a sparse page: for each head, where its entries begin, their number and how far their base is from the page's. */
export function sparseHead(
  { numKvHeads, headDim }: Shape,
  heads: readonly ({ entries: number; from: number } | undefined)[],
): Uint32Array<ArrayBuffer> {
  let at = numKvHeads;
  const words = heads.flatMap((head) => {
    if (!head) return [0, 0];
    at += headLayout(SPARSE_FORM, headDim).units;
    return [at - headLayout(SPARSE_FORM, headDim).units, head.entries | (head.from << 8)];
  });
  return Uint32Array.from(words);
}

/** Units of a page that is not sparse. */
export function pageUnits(form: Exclude<PageForm, 'sparse'>, { numKvHeads, headDim }: Shape): number {
  if (form === 'f16') return (2 * numKvHeads * PAGE_TOKENS * headDim * 2) / UNIT_BYTES;
  return numKvHeads * headLayout(form, headDim).units;
}

/** Words of a page-table entry of a layer: offset in units, form and entries, position of the page's first token, 0. */
export const PAGE_ENTRY_WORDS = 4;

export const pageEntry = (offset: number, form: PageForm, entries: number, base: number): number[] => [
  offset,
  PAGE_FORMS.indexOf(form) | (entries << 8),
  base,
  0,
];

/** Constants of kernels that read pages of every form. */
export const formConstants: Record<string, Constant> = /* @__PURE__ */ Object.fromEntries(
  /* @__PURE__ */ PAGE_FORMS.map((form, code) => [`FORM_${form.toUpperCase()}`, code]),
);
