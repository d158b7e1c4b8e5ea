import type { Constant } from '../../gpu/kernel.ts';
import { type Heads, PAGE_TOKENS } from '../heads.ts';

/**
 * How a page of one layer may lie on the GPU: every token in f16; codes of 8, 4 or 3 bits, of the values also 2, keys with a
 * range a channel and values with a scale a token; or only some entries, in f16, each with what its score is raised by.
 */
export const PAGE_FORMS = ['f16', 'q8', 'q4', 'q3', 'k3v2', 'sparse'] as const;
export type PageForm = (typeof PAGE_FORMS)[number];
export type QuantizedForm = 'q8' | 'q4' | 'q3' | 'k3v2';
/** What a page in f16 may be written anew as. */
export type SmallerForm = QuantizedForm | 'sparse';

/** Offsets within a layer's buffer count these: kernels read it as vec2u. */
export const UNIT_BYTES = 8;

type Shape = Pick<Heads, 'numKvHeads' | 'headDim'>;

/** Of keys, and of values. A score is off by the error of a key times the query, and its exponential follows: keys need more. */
export const CODE_BITS: Record<QuantizedForm, { key: number; value: number }> = {
  q8: { key: 8, value: 8 },
  q4: { key: 4, value: 4 },
  q3: { key: 3, value: 3 },
  k3v2: { key: 3, value: 2 },
};

/** Where the parts of a quantized head lie, in units; its steps come first. */
export interface HeadLayout {
  keyRanges: number;
  keyOrder: number;
  keyCodes: number;
  valueScales: number;
  valueCodes: number;
  /** Of the codes of one token. */
  keyRow: number;
  valueRow: number;
  units: number;
}

/**
 * Steps, f16 `[largest scale, span of minima, lowest minimum, 0]` of the keys and `[largest scale, 0, 0, 0]` of the values ·
 * key ranges `[headDim / 16, 2 (scale, minimum), 16]` u8 · the keys' order, but of 8 bits · key codes · value scales
 * `[PAGE_TOKENS]` u8 · value codes. A range's scale is its code · largest scale / 255, its minimum code · span / 255 + lowest.
 * A value is (code − largest code / 2) · scale.
 *
 * Channels differ by much in what they vary within a page. So of keys of 3 and 4 bits the quarter that varies most has one
 * more, and the quarter that varies least one less: ranges and codes lie by slots, eight channels each, and the order is
 * `[headDim / 8, 2]` u8, the pair of vectors in a slot and the slot of a pair. How codes lie in a row: page-layout.wgsl.
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

/** Units of a page of `entries` entries: all tokens, or of a sparse page some. */
export function pageUnits(form: PageForm, { numKvHeads, headDim }: Shape, entries = PAGE_TOKENS): number {
  const half = (2 * numKvHeads * entries * headDim * 2) / UNIT_BYTES;
  if (form === 'f16') return half;
  if (form === 'sparse') return half + numKvHeads * Math.ceil((entries * 4) / UNIT_BYTES);
  return numKvHeads * headLayout(form, headDim).units;
}

/** Words of an entry of a layer's page table: offset in units, form and entries, position of its first token, 0. */
export const PAGE_ENTRY_WORDS = 4;

export const pageEntry = (offset: number, form: PageForm, entries: number, base: number): number[] => [
  offset,
  PAGE_FORMS.indexOf(form) | (entries << 8),
  base,
  0,
];

/** For the kernels that read pages of every form. */
export const formConstants: Record<string, Constant> = Object.fromEntries(
  PAGE_FORMS.map((form, code) => [`FORM_${form.toUpperCase()}`, code]),
);
