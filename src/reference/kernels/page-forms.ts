import { halfToFloat } from '../half.ts';

const UNIT_BYTES = 8;

/** Where the parts of a quantized head lie, in units of eight bytes. */
interface HeadLayout {
  keyRanges: number;
  keyOrder: number;
  keyCodes: number;
  valueScales: number;
  valueCodes: number;
  /** Of the codes of one token. */
  keyRow: number;
  valueRow: number;
}

export interface DecodedHead {
  /** `[pageTokens, headDim]`, values rotated as they lie */
  keys: Float64Array;
  values: Float64Array;
  /** Of each channel of the keys, and of each token's value. */
  keyScales: Float64Array;
  valueScales: Float64Array;
  /** Of each channel of the keys. */
  keyBits: Uint8Array;
}

/** One head of a page of `pageTokens` tokens in codes of so many bits, `bytes` from its beginning. */
export function decodeHead(bits: { key: number; value: number }, bytes: Uint8Array, headDim: number, pageTokens: number, layout: HeadLayout): DecodedHead {
  const { keyRanges, keyOrder, keyCodes, valueScales, valueCodes, keyRow, valueRow } = layout;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const half = (unit: number, i: number): number => halfToFloat(view.getUint16(unit * UNIT_BYTES + 2 * i, true));
  const byte = (unit: number, i: number): number => bytes[unit * UNIT_BYTES + i] ?? NaN;
  const fours = bits.key === 3 ? Math.floor(headDim / 64) : 0;
  const size = pageTokens * headDim;
  const head: DecodedHead = {
    ...{ keys: new Float64Array(size), values: new Float64Array(size) },
    ...{ keyScales: new Float64Array(headDim), valueScales: new Float64Array(pageTokens), keyBits: new Uint8Array(headDim) },
  };
  for (let i = 0; i < headDim; i++) {
    const channel = channelOf(i, headDim, (slot) => (bits.key === 3 ? byte(keyOrder, 2 * slot) : slot));
    const range = Math.floor(i / 16) * 32 + (i % 16);
    const scale = (byte(keyRanges, range) * half(0, 0)) / 255;
    const minimum = (byte(keyRanges, range + 16) * half(0, 1)) / 255 + half(0, 2);
    head.keyScales[channel] = scale;
    head.keyBits[channel] = bitsOf(bits.key, fours, headDim, i);
    for (let token = 0; token < pageTokens; token++) {
      const row = bytes.subarray((keyCodes + token * keyRow) * UNIT_BYTES);
      head.keys[token * headDim + channel] = codeOf(row, { bits: bits.key, fours, headDim }, i) * scale + minimum;
    }
  }
  for (let token = 0; token < pageTokens; token++) {
    const scale = (byte(valueScales, token) * half(1, 0)) / 255;
    const row = bytes.subarray((valueCodes + token * valueRow) * UNIT_BYTES);
    head.valueScales[token] = scale;
    for (let i = 0; i < headDim; i++) {
      const code = codeOf(row, { bits: bits.value, fours: 0, headDim }, i);
      head.values[token * headDim + i] = (code - (2 ** bits.value - 1) / 2) * scale;
    }
  }
  return head;
}

interface Row {
  bits: number;
  /** Of three bits a code: runs of sixteen codes at the beginning that have four; as many at the end have two. */
  fours: number;
  headDim: number;
}

/** Bits of the i-th code of a row. */
function bitsOf(bits: number, fours: number, headDim: number, i: number): number {
  const quad = Math.floor(i / 16);
  if (quad < fours) return 4;
  return quad >= headDim / 16 - fours ? Math.min(bits, fours > 0 ? 2 : bits) : bits;
}

/** The i-th code of a row: planes of words that have of four codes a byte each, the next four's bits above them. */
function codeOf(row: Uint8Array, { bits, fours, headDim }: Row, i: number): number {
  const own = bitsOf(bits, fours, headDim, i);
  const [quad, vector, lane] = [Math.floor(i / 16), Math.floor(i / 4) % 4, i % 4];
  const at = (word: number, shift: number, count: number): number => ((row[4 * word + lane] ?? NaN) >> shift) & (2 ** count - 1);
  if (own === 8) return at(4 * quad + vector, 0, 8);
  if (own === 4) return at(2 * quad + Math.floor(vector / 2), 4 * (vector % 2), 4);
  const lower = at(quad + fours, 2 * vector, 2);
  if (own === 2) return lower;
  const upper = fours + headDim / 16 + Math.floor((quad - fours) / 2);
  return lower + 4 * at(upper, vector + 4 * ((quad - fours) % 2), 1);
}

/** Which channel the i-th of a key's codes is of: of two pairs of vectors the four of each, then those they rotate with. */
const channelOf = (i: number, headDim: number, pairOf: (slot: number) => number): number =>
  4 * pairOf(2 * Math.floor(i / 16) + (Math.floor(i / 4) % 2)) + (i % 4) + (i % 16 < 8 ? 0 : headDim / 2);
