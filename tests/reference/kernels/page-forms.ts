import { halfToFloat } from '../half.ts';

const UNIT_BYTES = 8;

/** Offsets of the parts of a quantized head, in units of eight bytes. */
interface HeadLayout {
  keyRanges: number;
  keyOrder: number;
  keyCodes: number;
  valueScales: number;
  valueCodes: number;
  /** Units per token. */
  keyRow: number;
  valueRow: number;
}

export interface DecodedHead {
  /** `[pageTokens, headDim]`; values stay rotated as stored */
  keys: Float64Array;
  values: Float64Array;
  /** Scales of each key channel, and of each token's value. */
  keyScales: Float64Array;
  valueScales: Float64Array;
  /** Bits of each key channel. */
  keyBits: Uint8Array;
}

/** Decodes one head of a page of `pageTokens` tokens with codes of `bits` bits. `bytes` begin at the head. */
export function decodeHead(
  bits: { key: number; value: number },
  bytes: Uint8Array,
  headDim: number,
  pageTokens: number,
  layout: HeadLayout,
): DecodedHead {
  const { keyRanges, keyOrder, keyCodes, valueScales, valueCodes, keyRow, valueRow } = layout;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const half = (unit: number, i: number): number => halfToFloat(view.getUint16(unit * UNIT_BYTES + 2 * i, true));
  const byte = (unit: number, i: number): number => bytes[unit * UNIT_BYTES + i] ?? NaN;
  const isOrdered = bits.key < 8;
  const wider = isOrdered ? Math.floor(headDim / 64) : 0;
  const size = pageTokens * headDim;
  const keyCode = codeReader({ bits: bits.key, wider, headDim });
  const valueCode = codeReader({ bits: bits.value, wider: 0, headDim });
  const head: DecodedHead = {
    ...{ keys: new Float64Array(size), values: new Float64Array(size) },
    ...{
      keyScales: new Float64Array(headDim),
      valueScales: new Float64Array(pageTokens),
      keyBits: new Uint8Array(headDim),
    },
  };
  for (let i = 0; i < headDim; i++) {
    const channel = channelOf(i, headDim, (slot) => (isOrdered ? byte(keyOrder, 2 * slot) : slot));
    const range = Math.floor(i / 16) * 32 + (i % 16);
    const scale = (byte(keyRanges, range) * half(0, 0)) / 255;
    const minimum = (byte(keyRanges, range + 16) * half(0, 1)) / 255 + half(0, 2);
    head.keyScales[channel] = scale;
    head.keyBits[channel] = bitsOf({ bits: bits.key, wider, headDim }, i);
    for (let token = 0; token < pageTokens; token++) {
      const row = bytes.subarray((keyCodes + token * keyRow) * UNIT_BYTES);
      head.keys[token * headDim + channel] = keyCode(row, i) * scale + minimum;
    }
  }
  for (let token = 0; token < pageTokens; token++) {
    const scale = (byte(valueScales, token) * half(1, 0)) / 255;
    const row = bytes.subarray((valueCodes + token * valueRow) * UNIT_BYTES);
    head.valueScales[token] = scale;
    for (let i = 0; i < headDim; i++) {
      const code = valueCode(row, i);
      head.values[token * headDim + i] = (code - (2 ** bits.value - 1) / 2) * scale;
    }
  }
  return head;
}

interface Row {
  bits: number;
  /** Number of first runs of sixteen codes with one bit more; the same number of last runs have one bit less. */
  wider: number;
  headDim: number;
}

/** Bits of the i-th code of a row. */
function bitsOf({ bits, wider, headDim }: Row, i: number): number {
  const run = Math.floor(i / 16);
  if (run < wider) return bits + 1;
  return run >= headDim / 16 - wider ? bits - 1 : bits;
}

/**
 * Returns a reader of the i-th code of a row. Runs with four or more bits come first, eight bytes each: four bytes with the low
 * four bits of codes 0–7, then four bytes for codes 8–15. The other runs follow, four bytes each, with the low two bits. An
 * additional upper bit is stored in the buffer after them, two runs in four bytes.
 */
function codeReader(row: Row): (bytes: Uint8Array, i: number) => number {
  const runs = Array.from({ length: row.headDim / 16 }, (_, of) => bitsOf(row, 16 * of));
  const fours = runs.filter((bits) => bits >= 4).length;
  const places = runs.map((_, run) => runs.slice(0, run).filter((bits) => bits % 2 === 1).length);
  return (bytes, i) => {
    const run = Math.floor(i / 16);
    const vector = Math.floor(i / 4) % 4;
    const at = (word: number, shift: number, count: number): number =>
      ((bytes[4 * word + (i % 4)] ?? NaN) >> shift) & (2 ** count - 1);
    if (row.bits === 8) return at(4 * run + vector, 0, 8);
    const own = runs[run] ?? NaN;
    const lower = own >= 4 ? at(2 * run + Math.floor(vector / 2), 4 * (vector % 2), 4) : at(fours + run, 2 * vector, 2);
    if (own % 2 === 0) return lower;
    const place = places[run] ?? NaN;
    return lower + 2 ** (own - 1) * at(fours + runs.length + Math.floor(place / 2), vector + 4 * (place % 2), 1);
  };
}

/** Channel of a key's i-th code: for two pairs of vectors, the four channels of each, then those they rotate with. */
const channelOf = (i: number, headDim: number, pairOf: (slot: number) => number): number =>
  4 * pairOf(2 * Math.floor(i / 16) + (Math.floor(i / 4) % 2)) + (i % 4) + (i % 16 < 8 ? 0 : headDim / 2);
