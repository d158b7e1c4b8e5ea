import { GGML_TYPES } from '../weights/ggml-types.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { bfloat16ToFloat, halfToFloat } from './half.ts';

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
  // 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales (one for 16 elements), d.
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
};

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
