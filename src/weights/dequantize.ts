import { decodeFloats, halfToFloat } from './float-tensor.ts';
import { GGML_TYPES, type GgmlType } from './ggml-types.ts';

type Quantized = Exclude<GgmlType, 'F32' | 'F16' | 'BF16'>;

/** A block: its bytes, and the halves and words among them. */
interface Block {
  byte(at: number): number;
  half(at: number): number;
  word(at: number): number;
}

/** The value of element `i` of a block (llama.cpp, ggml/src/ggml-quants.c). */
const ELEMENTS: Record<Quantized, (block: Block, i: number) => number> = {
  Q4_0: (block, i) => block.half(0) * (nibble(block, 2, i) - 8),
  Q4_1: (block, i) => block.half(0) * nibble(block, 4, i) + block.half(2),
  Q5_0: (block, i) => block.half(0) * (nibble(block, 6, i) + 16 * ((block.word(2) >>> i) & 1) - 16),
  Q5_1: (block, i) => block.half(0) * (nibble(block, 8, i) + 16 * ((block.word(4) >>> i) & 1)) + block.half(2),
  Q8_0: (block, i) => block.half(0) * signed(block.byte(2 + i)),
  Q4_K: (block, i) => scaled(block, i, groupNibble(block, 16, i)),
  Q5_K: (block, i) => scaled(block, i, groupNibble(block, 48, i) + 16 * ((block.byte(16 + (i & 31)) >> (i >> 5)) & 1)),
  Q6_K: (block, i) => {
    const [part, quarter, lane] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (block.byte(64 * part + 32 * (quarter & 1) + lane) >> (quarter & 2 ? 4 : 0)) & 15;
    const high = (block.byte(128 + 32 * part + lane) >> (2 * quarter)) & 3;
    return block.half(208) * signed(block.byte(192 + (i >> 4))) * (low + 16 * high - 32);
  },
};

/** The values of whole blocks in a file's layout. */
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

/** Of 32 in 16 bytes: the first 16 are the low nibbles. */
const nibble = (block: Block, start: number, i: number): number => (block.byte(start + (i & 15)) >> (i < 16 ? 0 : 4)) & 15;

/** Of 256: two groups of 32 share as many bytes, the even one in the low nibbles. */
const groupNibble = (block: Block, start: number, i: number): number => (block.byte(start + 32 * (i >> 6) + (i & 31)) >> (i & 32 ? 4 : 0)) & 15;

/** With the 6-bit scale and minimum of the element's group (get_scale_min_k4). */
function scaled(block: Block, i: number, code: number): number {
  const group = i >> 5;
  const byte = (at: number): number => block.byte(4 + at);
  const [scale, minimum] =
    group < 4
      ? [byte(group) & 63, byte(group + 4) & 63]
      : [(byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4), (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4)];
  return block.half(0) * scale * code - block.half(2) * minimum;
}
