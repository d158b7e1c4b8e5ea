import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import { nibbles, viewOf } from './packed-bits.ts';
import {
  repackApart,
  repackGrid,
  repackPairs,
  repackSuper,
  repackSuper4,
  repackSuper6,
  repackTernary,
} from './repack-super.ts';
import type { Planes } from './weight-formats.ts';

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
    case 'IQ4_NL':
      return repackBlocks(bytes, { scaleBytes: 2, fifthBits: false });
    case 'Q4_1':
      return repackBlocks(bytes, { scaleBytes: 4, fifthBits: false });
    case 'Q5_0':
      return repackBlocks(bytes, { scaleBytes: 2, fifthBits: true });
    case 'Q5_1':
      return repackBlocks(bytes, { scaleBytes: 4, fifthBits: true });
    case 'MXFP4':
      return repackFloat4(bytes);
    case 'Q2_K':
    case 'Q3_K':
    case 'TQ2_0':
      return repackPairs(type, bytes);
    case 'Q4_K':
      return repackSuper(bytes, false);
    case 'Q5_K':
      return repackSuper(bytes, true);
    case 'Q6_K':
      return repackSuper6(bytes);
    case 'IQ4_XS':
      return repackSuper4(bytes);
    case 'IQ3_XXS':
      return repackGrid(bytes);
    case 'Q1_0':
    case 'Q2_0':
      return repackApart(type, bytes);
    case 'TQ1_0':
      return repackTernary(bytes);
  }
}

/** A copy only where they begin between words. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

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

/** MXFP4: an exponent, then nibbles: of each the upper bit is a sign, the others a size. */
function repackFloat4(bytes: Uint8Array): Planes {
  const { blockBytes } = GGML_TYPES.MXFP4;
  const blocks = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(blocks * 4);
  const scales = new Uint8Array(Math.ceil(blocks / 4) * 4);
  for (let b = 0; b < blocks; b++) {
    const at = b * blockBytes;
    scales[b] = view.getUint8(at);
    for (let word = 0; word < 4; word++)
      weight[b * 4 + word] = withoutSigns(nibbles(view, at + 1 + 8 * (word & 1), word < 2 ? 0 : 4));
  }
  return { weight, weight_scales: new Uint32Array(scales.buffer) };
}

/** Eight nibbles of sign and size → 8 plus or minus the size. */
function withoutSigns(word: number): number {
  const signs = (word >>> 3) & 0x11111111;
  return (word ^ (0x88888888 | (signs * 7))) + signs;
}
