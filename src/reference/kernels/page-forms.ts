import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { headLayout, type QuantizedForm, UNIT_BYTES } from '../../kernels/page-forms.ts';
import { halfToFloat } from '../half.ts';

export interface DecodedHead {
  /** `[PAGE_TOKENS, headDim]` */
  keys: Float64Array;
  values: Float64Array;
  /** Of each channel of the keys, and of each token's value. */
  keyScales: Float64Array;
  valueScales: Float64Array;
}

/** One head of a quantised page, `bytes` from its beginning. */
export function decodeHead(form: QuantizedForm, bytes: Uint8Array, headDim: number): DecodedHead {
  const { keyRanges, keyCodes, valueRanges, valueCodes, rowUnits } = headLayout(form, headDim);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const half = (unit: number, i: number): number => halfToFloat(view.getUint16(unit * UNIT_BYTES + 2 * i, true));
  const code = (unit: number, i: number): number => {
    if (form === 'q8') return bytes[unit * UNIT_BYTES + i] ?? NaN;
    // Of eight codes the first four lie in the low halves of four bytes.
    const byte = bytes[unit * UNIT_BYTES + Math.floor(i / 8) * 4 + (i % 4)] ?? NaN;
    return i % 8 < 4 ? byte & 15 : byte >> 4;
  };
  const size = PAGE_TOKENS * headDim;
  const head: DecodedHead = {
    keys: new Float64Array(size),
    values: new Float64Array(size),
    keyScales: new Float64Array(headDim),
    valueScales: new Float64Array(PAGE_TOKENS),
  };
  for (let token = 0; token < PAGE_TOKENS; token++) {
    const [scale, minimum] = [half(valueRanges, 2 * token), half(valueRanges, 2 * token + 1)];
    head.valueScales[token] = scale;
    for (let i = 0; i < headDim; i++) {
      head.values[token * headDim + i] = code(valueCodes + token * rowUnits, i) * scale + minimum;
      const channel = channelOf(i, headDim);
      const range = Math.floor(i / 16) * 32 + (i % 16);
      const [keyScale, keyMinimum] = [half(keyRanges, range), half(keyRanges, range + 16)];
      head.keyScales[channel] = keyScale;
      head.keys[token * headDim + channel] = code(keyCodes + token * rowUnits, i) * keyScale + keyMinimum;
    }
  }
  return head;
}

/** Which channel the i-th of a key's codes is of: eight, then the eight they rotate with. */
const channelOf = (i: number, headDim: number): number =>
  Math.floor(i / 16) * 8 + (i % 8) + (i % 16 < 8 ? 0 : headDim / 2);
