import { GGML_TYPES } from '../../src/weights/ggml-types.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { bfloat16ToFloat, halfToFloat } from './half.ts';
import { gridSize } from './iq3-grid.ts';

/** Decodes one block at byte `at` and writes its elements from `out[to]`. */
type BlockDecoder = (view: DataView, at: number, out: Float32Array, to: number) => void;

/**
 * The values of a tensor's bytes, in the file's order. The block layouts are those of llama.cpp
 * (ggml/src/ggml-common.h, ggml-quants.c); products are rounded to float32 once, at the end.
 */
export function dequantize(type: GgmlType, bytes: Uint8Array): Float32Array {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const numBlocks = bytes.byteLength / blockBytes;
  if (!Number.isInteger(numBlocks)) throw new RangeError(`${bytes.byteLength} bytes are no whole ${type} blocks`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float32Array(numBlocks * blockSize);
  const decode = DECODERS[type];
  for (let block = 0; block < numBlocks; block++) decode(view, block * blockBytes, out, block * blockSize);
  return out;
}

const DECODERS: Record<GgmlType, BlockDecoder> = {
  F32: (view, at, out, to) => {
    out[to] = view.getFloat32(at, true);
  },
  F16: (view, at, out, to) => {
    out[to] = half(view, at);
  },
  BF16: (view, at, out, to) => {
    out[to] = bfloat16ToFloat(view.getUint16(at, true));
  },
  // A scale, then one sign bit per element; or two bits per element, minus 1.
  Q1_0: (view, at, out, to) => {
    const d = half(view, at);
    for (let i = 0; i < 128; i++) out[to + i] = bit(view.getUint8(at + 2 + Math.floor(i / 8)), i % 8) ? d : -d;
  },
  Q2_0: (view, at, out, to) => {
    const d = half(view, at);
    for (let i = 0; i < 64; i++)
      out[to + i] = d * (((view.getUint8(at + 2 + Math.floor(i / 4)) >> (2 * (i % 4))) & 3) - 1);
  },
  // Blocks of 32: scale d (, minimum m), (the fifth bits,) then 16 bytes whose low nibbles come first.
  Q4_0: (view, at, out, to) => {
    const d = half(view, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * (nibble(view, at + 2, i) - 8);
  },
  Q4_1: (view, at, out, to) => {
    const d = half(view, at);
    const m = half(view, at + 2);
    for (let i = 0; i < 32; i++) out[to + i] = d * nibble(view, at + 4, i) + m;
  },
  Q5_0: (view, at, out, to) => {
    const d = half(view, at);
    const high = view.getUint32(at + 2, true);
    for (let i = 0; i < 32; i++) out[to + i] = d * (nibble(view, at + 6, i) + 16 * bit(high, i) - 16);
  },
  Q5_1: (view, at, out, to) => {
    const d = half(view, at);
    const m = half(view, at + 2);
    const high = view.getUint32(at + 4, true);
    for (let i = 0; i < 32; i++) out[to + i] = d * (nibble(view, at + 8, i) + 16 * bit(high, i)) + m;
  },
  Q8_0: (view, at, out, to) => {
    const d = half(view, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * view.getInt8(at + 2 + i);
  },
  IQ4_NL: (view, at, out, to) => {
    const d = half(view, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * nonLinear(nibble(view, at + 2, i));
  },
  // A power of two, then floats with a sign bit, two exponent bits and one fraction bit.
  MXFP4: (view, at, out, to) => {
    const d = 2 ** (view.getUint8(at) - 127);
    for (let i = 0; i < 32; i++) {
      const code = nibble(view, at + 1, i);
      const [exponent, fraction] = [(code >> 1) & 3, code & 1];
      const size = exponent === 0 ? fraction / 2 : (1 + fraction / 2) * 2 ** (exponent - 1);
      out[to + i] = code < 8 || size === 0 ? d * size : -d * size;
    }
  },
  // Super-blocks of 256 in 16 groups: one byte of scale and minimum per group, bit pairs, d, dmin.
  Q2_K: (view, at, out, to) => {
    for (let i = 0; i < 256; i++) {
      const scales = view.getUint8(at + (i >> 4));
      out[to + i] =
        half(view, at + 80) * (scales & 15) * bitPair(view, at + 16, i) - half(view, at + 82) * (scales >> 4);
    }
  },
  // 32 bytes of upper bits (each byte has one bit per group of 32), bit pairs, 12 bytes of 6-bit scales, d.
  Q3_K: (view, at, out, to) => {
    const d = half(view, at + 108);
    for (let group = 0; group < 16; group++) {
      const low = view.getUint8(at + 96 + (group % 8)) >> (group < 8 ? 0 : 4);
      const high = view.getUint8(at + 104 + (group % 4)) >> (2 * Math.floor(group / 4));
      const scale = (low & 15) + 16 * (high & 3) - 32;
      for (let i = 16 * group; i < 16 * group + 16; i++) {
        const upper = bit(view.getUint8(at + (i % 32)), i >> 5);
        out[to + i] = d * scale * (bitPair(view, at + 32, i) - (upper ? 0 : 4));
      }
    }
  },
  // Super-blocks of 256 in 8 groups of 32: d, dmin, 12 bytes of 6-bit scales and minima, (high bits,) nibbles.
  Q4_K: (view, at, out, to) => {
    const d = half(view, at);
    const dmin = half(view, at + 2);
    for (let group = 0; group < 8; group++) {
      const { scale, min } = scaleAndMin(view, at + 4, group);
      for (let i = 0; i < 32; i++) {
        const q = groupNibble(view, at + 16, group, i);
        out[to + 32 * group + i] = d * scale * q - dmin * min;
      }
    }
  },
  Q5_K: (view, at, out, to) => {
    const d = half(view, at);
    const dmin = half(view, at + 2);
    for (let group = 0; group < 8; group++) {
      const { scale, min } = scaleAndMin(view, at + 4, group);
      for (let i = 0; i < 32; i++) {
        const q = groupNibble(view, at + 48, group, i) + 16 * bit(view.getUint8(at + 16 + i), group);
        out[to + 32 * group + i] = d * scale * q - dmin * min;
      }
    }
  },
  // 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales (one per 16 elements), d.
  Q6_K: (view, at, out, to) => {
    const d = half(view, at + 208);
    for (let i = 0; i < 256; i++) {
      const part = i >> 7; // each half of the block has 64 bytes of nibbles and 32 of bit pairs
      const quarter = (i >> 5) & 3;
      const lane = i & 31;
      const low = view.getUint8(at + 64 * part + 32 * (quarter & 1) + lane) >> (quarter < 2 ? 0 : 4);
      const high = view.getUint8(at + 128 + 32 * part + lane) >> (2 * quarter);
      const q = (low & 15) + 16 * (high & 3) - 32;
      out[to + i] = d * view.getInt8(at + 192 + (i >> 4)) * q;
    }
  },
  // d, the upper two bits of 8 scales, their lower four, then 16 bytes per group.
  IQ4_XS: (view, at, out, to) => {
    const d = half(view, at);
    for (let group = 0; group < 8; group++) {
      const high = view.getUint16(at + 2, true) >> (2 * group);
      const low = view.getUint8(at + 4 + (group >> 1)) >> (group % 2 ? 4 : 0);
      const scale = (low & 15) + 16 * (high & 3) - 32;
      for (let i = 0; i < 32; i++)
        out[to + 32 * group + i] = d * scale * nonLinear(nibble(view, at + 8 + 16 * group, i));
    }
  },
  // d, one byte per four magnitudes, then one word per group: four sets of seven sign bits, and a 4-bit scale.
  IQ3_XXS: (view, at, out, to) => {
    const d = half(view, at);
    for (let group = 0; group < 8; group++) {
      const word = view.getUint32(at + 66 + 4 * group, true);
      const scale = (d * (0.5 + (word >>> 28))) / 2;
      for (let eight = 0; eight < 4; eight++) {
        let negatives = 0;
        for (let k = 0; k < 8; k++) {
          const isNegative = k < 7 ? bit(word, 7 * eight + k) === 1 : negatives % 2 === 1;
          if (isNegative) negatives++;
          const i = 32 * group + 8 * eight + k;
          const size = gridSize(view.getUint8(at + 2 + (i >> 2)), i % 4);
          out[to + i] = isNegative ? -scale * size : scale * size;
        }
      }
    }
  },
  // Base-3 digits, five per byte, in the last bytes four, then d. A byte is a fraction: multiplication extracts its digits.
  TQ1_0: (view, at, out, to) => {
    const d = half(view, at + 52);
    const runs = [
      [0, 32, 5],
      [32, 16, 5],
      [48, 4, 4],
    ] as const;
    let i = to;
    for (const [start, count, digits] of runs) {
      for (let digit = 0; digit < digits; digit++) {
        for (let k = 0; k < count; k++) {
          const behind = (view.getUint8(at + start + k) * 3 ** digit) % 256;
          out[i++] = d * (Math.floor((behind * 3) / 256) - 1);
        }
      }
    }
  },
  TQ2_0: (view, at, out, to) => {
    const d = half(view, at + 64);
    for (let i = 0; i < 256; i++) out[to + i] = d * (bitPair(view, at, i) - 1);
  },
};

/** The values of IQ4_NL and IQ4_XS codes. */
const NON_LINEAR = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
export const nonLinear = (code: number): number => NON_LINEAR[code] ?? NaN;

function half(view: DataView, at: number): number {
  return halfToFloat(view.getUint16(at, true));
}

function bit(word: number, i: number): number {
  return (word >>> i) & 1;
}

/** Element `i` of 32 in 16 bytes: the first 16 are the low nibbles. */
function nibble(view: DataView, at: number, i: number): number {
  return (view.getUint8(at + (i & 15)) >> (i < 16 ? 0 : 4)) & 15;
}

/** Element `i` of 256 in 64 bytes: each half has 32 bytes, and a byte holds one element of each of its four groups. */
function bitPair(view: DataView, at: number, i: number): number {
  return (view.getUint8(at + 32 * (i >> 7) + (i % 32)) >> (2 * ((i >> 5) % 4))) & 3;
}

/** Element `i` of a group of 32; two groups share 32 bytes, the even one in the low nibbles. */
function groupNibble(view: DataView, at: number, group: number, i: number): number {
  return (view.getUint8(at + 32 * (group >> 1) + i) >> (group & 1 ? 4 : 0)) & 15;
}

/**
 * The 6-bit scale and minimum of a group (get_scale_min_k4): bytes 0–3 and 4–7 hold those of groups 0–3; groups 4–7
 * have their low four bits in bytes 8–11 and their upper two atop the first eight bytes.
 */
function scaleAndMin(view: DataView, at: number, group: number): { scale: number; min: number } {
  const byte = (i: number): number => view.getUint8(at + i);
  if (group < 4) return { scale: byte(group) & 63, min: byte(group + 4) & 63 };
  return {
    scale: (byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4),
    min: (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4),
  };
}
