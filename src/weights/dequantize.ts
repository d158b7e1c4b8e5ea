import grid from '../../shaders/parts/grid.wgsl?raw';
import { decodeFloats, halfToFloat } from './float-tensor.ts';
import { GGML_TYPES, type GgmlType } from './ggml-types.ts';

type Quantized = Exclude<GgmlType, 'F32' | 'F16' | 'BF16'>;

/** Access to a block's bytes, halves and words. */
interface Block {
  byte(at: number): number;
  half(at: number): number;
  word(at: number): number;
}

/**
 * Values of the codes of IQ4_NL and IQ4_XS, of MXFP4 (doubled), and the grid bytes of IQ3_XXS (ggml/src/ggml-common.h).
 */
const NON_LINEAR = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const FLOAT4 = [0, 1, 2, 3, 4, 6, 8, 12];
const GRID = Array.from(grid.matchAll(/0x\w{8}/g), ([word]) => Number(word));

/** The value of element `i` of a block (llama.cpp, ggml/src/ggml-quants.c). */
const ELEMENTS: Record<Quantized, (block: Block, i: number) => number> = {
  Q1_0: (block, i) => block.half(0) * (2 * ((block.byte(2 + (i >> 3)) >> (i & 7)) & 1) - 1),
  Q2_0: (block, i) => block.half(0) * (((block.byte(2 + (i >> 2)) >> (2 * (i & 3))) & 3) - 1),
  Q4_0: (block, i) => block.half(0) * (nibble(block, 2, i) - 8),
  Q4_1: (block, i) => block.half(0) * nibble(block, 4, i) + block.half(2),
  Q5_0: (block, i) => block.half(0) * (nibble(block, 6, i) + 16 * ((block.word(2) >>> i) & 1) - 16),
  Q5_1: (block, i) => block.half(0) * (nibble(block, 8, i) + 16 * ((block.word(4) >>> i) & 1)) + block.half(2),
  Q8_0: (block, i) => block.half(0) * signed(block.byte(2 + i)),
  Q2_K: (block, i) => {
    const scale = block.byte(i >> 4);
    return block.half(80) * (scale & 15) * pair(block, 16, i) - block.half(82) * (scale >> 4);
  },
  Q3_K: (block, i) => {
    const s = i >> 4;
    const scale =
      ((block.byte(96 + (s & 7)) >> (s < 8 ? 0 : 4)) & 15) +
      16 * ((block.byte(104 + (s & 3)) >> (2 * (s >> 2))) & 3) -
      32;
    return block.half(108) * scale * (pair(block, 32, i) + 4 * ((block.byte(i & 31) >> (i >> 5)) & 1) - 4);
  },
  Q4_K: (block, i) => scaled(block, i, groupNibble(block, 16, i)),
  Q5_K: (block, i) => scaled(block, i, groupNibble(block, 48, i) + 16 * ((block.byte(16 + (i & 31)) >> (i >> 5)) & 1)),
  Q6_K: (block, i) => {
    const [part, quarter, lane] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (block.byte(64 * part + 32 * (quarter & 1) + lane) >> (quarter & 2 ? 4 : 0)) & 15;
    const high = (block.byte(128 + 32 * part + lane) >> (2 * quarter)) & 3;
    return block.half(208) * signed(block.byte(192 + (i >> 4))) * (low + 16 * high - 32);
  },
  IQ3_XXS: (block, i) => {
    const word = block.word(66 + 4 * (i >> 5));
    const signs = (word >>> (7 * ((i >> 3) & 3))) & 127;
    const size = ((GRID[block.byte(2 + (i >> 2))] ?? 0) >>> (8 * (i & 3))) & 255;
    const isNegative = (i & 7) < 7 ? (signs >> (i & 7)) & 1 : bitCount(signs) & 1;
    return block.half(0) * (0.25 + (word >>> 28) / 2) * (isNegative ? -size : size);
  },
  IQ4_NL: (block, i) => block.half(0) * (NON_LINEAR[nibble(block, 2, i)] ?? 0),
  IQ4_XS: (block, i) => {
    const group = i >> 5;
    const high = (block.byte(2 + (group >> 2)) >> (2 * (group & 3))) & 3;
    const scale = ((block.byte(4 + (group >> 1)) >> (4 * (group & 1))) & 15) + 16 * high - 32;
    return block.half(0) * scale * (NON_LINEAR[nibble(block, 8 + 16 * group, i & 31)] ?? 0);
  },
  TQ1_0: (block, i) => block.half(52) * (ternary(block, i) - 1),
  TQ2_0: (block, i) => block.half(64) * (pair(block, 0, i) - 1),
  MXFP4: (block, i) => {
    const code = nibble(block, 1, i);
    const size = FLOAT4[code & 7] ?? 0;
    return 2 ** (block.byte(0) - 128) * (code < 8 ? size : 0 - size);
  },
};

/** Dequantizes whole blocks. */
export function dequantize(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (type === 'F32' || type === 'F16' || type === 'BF16') return decodeFloats(type, bytes);
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const element = ELEMENTS[type];
  let start = 0;
  const block: Block = {
    byte: (at) => view.getUint8(start + at),
    half: (at) => halfToFloat(view.getUint16(start + at, true)),
    word: (at) => view.getUint32(start + at, true),
  };
  const values = new Float32Array((bytes.length / blockBytes) * blockSize);
  for (let at = 0; at < values.length; at++) {
    if (at > 0 && at % blockSize === 0) start += blockBytes;
    values[at] = element(block, at % blockSize);
  }
  return values;
}

const signed = (byte: number): number => (byte << 24) >> 24;

/** 4-bit code of 32 in 16 bytes: the low nibbles come first. */
const nibble = (block: Block, start: number, i: number): number =>
  (block.byte(start + (i & 15)) >> (i < 16 ? 0 : 4)) & 15;

/** 2-bit code of 256: four groups of 32 share 32 bytes. */
const pair = (block: Block, start: number, i: number): number =>
  (block.byte(start + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;

/** Ternary digit of 256: a byte holds five digits, 32 or 16 elements apart; the last four bytes hold four. */
function ternary(block: Block, i: number): number {
  const [at, digit] =
    i < 160 ? [i & 31, i >> 5] : i < 240 ? [32 + (i & 15), (i - 160) >> 4] : [48 + (i & 3), (i - 240) >> 2];
  return (((block.byte(at) * 3 ** digit) & 255) * 3) >> 8;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}

/** 4-bit code of 256: two groups of 32 share 32 bytes; the even group has the low nibbles. */
const groupNibble = (block: Block, start: number, i: number): number =>
  (block.byte(start + 32 * (i >> 6) + (i & 31)) >> (i & 32 ? 4 : 0)) & 15;

/** Applies the group's 6-bit scale and minimum (get_scale_min_k4). */
function scaled(block: Block, i: number, code: number): number {
  const group = i >> 5;
  const byte = (at: number): number => block.byte(4 + at);
  const [scale, minimum] =
    group < 4
      ? [byte(group) & 63, byte(group + 4) & 63]
      : [(byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4), (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4)];
  return block.half(0) * scale * code - block.half(2) * minimum;
}
