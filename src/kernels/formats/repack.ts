import { halfToFloat } from '../../weights/float-tensor.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import type { PlaneName } from './weight-formats.ts';

export type Planes = Partial<Record<PlaneName, Uint32Array>>;

/**
 * Splits whole blocks of a GGUF tensor into the planes that the kernels read (shaders/slots/codes, shaders/slots/scales); values are unchanged.
 * Block layouts: llama.cpp, ggml/src/ggml-common.h.
 */
export function repack(type: GgmlType, bytes: Uint8Array): Planes {
  switch (type) {
    case 'F32':
    case 'F16':
    case 'BF16':
      return { weight: wordsOf(bytes) };
    case 'Q8_0':
      return repackBytes(bytes);
    case 'Q4_0':
      return repackBlocks(bytes, { scaleBytes: 2, fifthBits: false });
    case 'Q4_1':
      return repackBlocks(bytes, { scaleBytes: 4, fifthBits: false });
    case 'Q5_0':
      return repackBlocks(bytes, { scaleBytes: 2, fifthBits: true });
    case 'Q5_1':
      return repackBlocks(bytes, { scaleBytes: 4, fifthBits: true });
    case 'Q4_K':
      return repackSuper(bytes, false);
    case 'Q5_K':
      return repackSuper(bytes, true);
    case 'Q6_K':
      return repackSuper6(bytes);
  }
}

/** A copy only where they begin between words. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The low nibbles of four bytes, side by side in 16 bits. */
function squeeze(word: number): number {
  let x = word & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0xffff;
}

/** Eight nibbles of eight bytes from `at`: low ones for `shift` 0, high ones for 4. */
const nibbles = (view: DataView, at: number, shift: number): number =>
  squeeze(view.getUint32(at, true) >>> shift) | (squeeze(view.getUint32(at + 4, true) >>> shift) << 16);

/** Q4_0, Q4_1, Q5_0, Q5_1: scale (and minimum), fifth bits, then 16 bytes: low nibbles first half, high nibbles second. */
function repackBlocks(bytes: Uint8Array, { scaleBytes, fifthBits }: { scaleBytes: 2 | 4; fifthBits: boolean }): Planes {
  const blockBytes = scaleBytes + (fifthBits ? 4 : 0) + 16;
  const blocks = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(blocks * 4);
  const high = new Uint32Array(fifthBits ? blocks : 0);
  const scales = new Uint32Array(Math.ceil((blocks * scaleBytes) / 4));
  const halves = new Uint16Array(scales.buffer);
  for (let b = 0; b < blocks; b++) {
    const at = b * blockBytes;
    if (scaleBytes === 2) halves[b] = view.getUint16(at, true);
    else scales[b] = view.getUint32(at, true);
    if (fifthBits) high[b] = view.getUint32(at + scaleBytes, true);
    const codes = at + blockBytes - 16;
    weight[b * 4] = nibbles(view, codes, 0);
    weight[b * 4 + 1] = nibbles(view, codes + 8, 0);
    weight[b * 4 + 2] = nibbles(view, codes, 4);
    weight[b * 4 + 3] = nibbles(view, codes + 8, 4);
  }
  return { weight, weight_scales: scales, ...(fifthBits && { weight_high: high }) };
}

function repackBytes(bytes: Uint8Array): Planes {
  const { blockBytes } = GGML_TYPES.Q8_0;
  const blocks = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const codes = new Uint8Array(blocks * 32);
  const scales = new Uint16Array(Math.ceil(blocks / 2) * 2);
  for (let b = 0; b < blocks; b++) {
    const at = b * blockBytes;
    scales[b] = view.getUint16(at, true);
    codes.set(bytes.subarray(at + 2, at + blockBytes), b * 32);
  }
  // Adds 128 to the lower three bytes of each word (codes-8bit.wgsl).
  const weight = new Uint32Array(codes.buffer).map((word) => word ^ 0x00808080);
  return { weight, weight_scales: new Uint32Array(scales.buffer) };
}

/** Q4_K, Q5_K: d, dmin, 12 bytes of 6-bit scales and minima, [fifth bits,] 128 bytes; blocks 2j and 2j + 1 share 32 bytes. */
function repackSuper(bytes: Uint8Array, fifthBits: boolean): Planes {
  const { blockBytes } = fifthBits ? GGML_TYPES.Q5_K : GGML_TYPES.Q4_K;
  const supers = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(supers * 32);
  const high = new Uint32Array(fifthBits ? supers * 8 : 0);
  const scales = new Uint32Array(supers * 4);
  for (let s = 0; s < supers; s++) {
    const at = s * blockBytes;
    scales[s * 4] = view.getUint32(at, true);
    packScales(bytes.subarray(at + 4, at + 16), scales.subarray(s * 4 + 1, s * 4 + 4));
    const codes = at + blockBytes - 128;
    for (let block = 0; block < 8; block++) {
      for (let word = 0; word < 4; word++) {
        weight[s * 32 + block * 4 + word] = nibbles(view, codes + (block >> 1) * 32 + word * 8, (block & 1) * 4);
      }
    }
    if (!fifthBits) continue;
    for (let e = 0; e < 32; e++) {
      const bits = view.getUint8(at + 16 + e);
      for (let block = 0; block < 8; block++) high[s * 8 + block]! |= ((bits >> block) & 1) << e;
    }
  }
  return { weight, weight_scales: scales, ...(fifthBits && { weight_high: high }) };
}

/** From llama.cpp's packing (get_scale_min_k4) to: low nibbles of scales, of minima, upper bits of both. */
function packScales(packed: Uint8Array, words: Uint32Array): void {
  const at = (i: number): number => packed[i] ?? 0;
  for (let j = 0; j < 8; j++) {
    const scale = j < 4 ? at(j) & 63 : (at(j + 4) & 15) | ((at(j - 4) >> 6) << 4);
    const minimum = j < 4 ? at(j + 4) & 63 : (at(j + 4) >> 4) | ((at(j) >> 6) << 4);
    words[0]! |= (scale & 15) << (4 * j);
    words[1]! |= (minimum & 15) << (4 * j);
    words[2]! |= ((scale >> 4) << (2 * j)) | ((minimum >> 4) << (16 + 2 * j));
  }
}

/** Q6_K: 128 bytes of nibbles, 64 of upper bit pairs, 16 scales, d. Block 4n + r: nibbles r >> 1, bit pair r of its half n. */
function repackSuper6(bytes: Uint8Array): Planes {
  const { blockBytes } = GGML_TYPES.Q6_K;
  const supers = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(supers * 32);
  const high = new Uint32Array(supers * 16);
  const scales = new Uint32Array(supers * 5);
  const scaleFloats = new Float32Array(scales.buffer);
  for (let s = 0; s < supers; s++) {
    const at = s * blockBytes;
    for (let block = 0; block < 8; block++) {
      const half = block >> 2;
      const r = block & 3;
      for (let word = 0; word < 4; word++) {
        const from = at + half * 64 + (r & 1) * 32 + word * 8;
        weight[s * 32 + block * 4 + word] = nibbles(view, from, (r >> 1) * 4);
      }
      for (let e = 0; e < 32; e++) {
        const pair = (view.getUint8(at + 128 + half * 32 + e) >> (2 * r)) & 3;
        high[s * 16 + block * 2 + (e >> 4)]! |= pair << (2 * (e & 15));
      }
    }
    scaleFloats[s * 5] = halfToFloat(view.getUint16(at + 208, true));
    for (let word = 0; word < 4; word++) scales[s * 5 + 1 + word] = view.getUint32(at + 192 + word * 4, true);
  }
  return { weight, weight_high: high, weight_scales: scales };
}
