import { halfToFloat } from '../half.ts';

const UNIT_BYTES = 8;

/** Where the parts of a quantized head lie, in units of eight bytes. */
interface HeadLayout {
  keyRanges: number;
  keyCodes: number;
  valueRanges: number;
  valueCodes: number;
  /** Of the codes of one token. */
  keyRow: number;
  valueRow: number;
}

/** Scale and minimum of the codes they have. */
type Ranges = (scale: number, minimum: number) => [scale: number, minimum: number];

export interface DecodedHead {
  /** `[pageTokens, headDim]` */
  keys: Float64Array;
  values: Float64Array;
  /** Of each channel of the keys, and of each token's value. */
  keyScales: Float64Array;
  valueScales: Float64Array;
}

/** One head of a page of `pageTokens` tokens in codes of so many bits, `bytes` from its beginning. */
export function decodeHead(bits: { key: number; value: number }, bytes: Uint8Array, headDim: number, pageTokens: number, layout: HeadLayout): DecodedHead {
  const { keyRanges, keyCodes, valueRanges, valueCodes, keyRow, valueRow } = layout;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const half = (unit: number, i: number): number => halfToFloat(view.getUint16(unit * UNIT_BYTES + 2 * i, true));
  const code = (bits: number, unit: number, i: number): number => {
    if (bits === 8) return bytes[unit * UNIT_BYTES + i] ?? NaN;
    // Four codes are the lowest bits of four bytes, the next four the bits above them.
    const inWord = 32 / bits;
    const byte = bytes[unit * UNIT_BYTES + Math.floor(i / inWord) * 4 + (i % 4)] ?? NaN;
    return (byte >> (bits * Math.floor((i % inWord) / 4))) & (2 ** bits - 1);
  };
  /** Largest scale, span of the minima and lowest minimum: of the keys, and of the values. */
  const ranges = [0, 1].map((unit) => {
    const [largest, span, lowest] = [half(unit, 0), half(unit, 1), half(unit, 2)];
    return (scale: number, minimum: number): [number, number] => [(scale * largest) / 255, (minimum * span) / 255 + lowest];
  }) as [Ranges, Ranges];
  const byte = (unit: number, i: number): number => bytes[unit * UNIT_BYTES + i] ?? NaN;
  const size = pageTokens * headDim;
  const head: DecodedHead = {
    keys: new Float64Array(size),
    values: new Float64Array(size),
    keyScales: new Float64Array(headDim),
    valueScales: new Float64Array(pageTokens),
  };
  for (let token = 0; token < pageTokens; token++) {
    const [scale, minimum] = ranges[1](byte(valueRanges, 2 * token), byte(valueRanges, 2 * token + 1));
    head.valueScales[token] = scale;
    for (let i = 0; i < headDim; i++) {
      head.values[token * headDim + i] = code(bits.value, valueCodes + token * valueRow, i) * scale + minimum;
      const channel = channelOf(i, headDim);
      const range = Math.floor(i / 16) * 32 + (i % 16);
      const [keyScale, keyMinimum] = ranges[0](byte(keyRanges, range), byte(keyRanges, range + 16));
      head.keyScales[channel] = keyScale;
      head.keys[token * headDim + channel] = code(bits.key, keyCodes + token * keyRow, i) * keyScale + keyMinimum;
    }
  }
  return head;
}

/** Which channel the i-th of a key's codes is of: eight, then the eight they rotate with. */
const channelOf = (i: number, headDim: number): number =>
  Math.floor(i / 16) * 8 + (i % 8) + (i % 16 < 8 ? 0 : headDim / 2);
