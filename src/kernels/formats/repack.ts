import { halfToFloat } from '../../weights/float-tensor.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import type { WeightBuffers } from './weight-formats.ts';

/**
 * Splits whole blocks of a GGUF tensor into the buffers that kernels read (shaders/parts/codes.wgsl, scales.wgsl), without a
 * change of values. Block layouts: llama.cpp, ggml/src/ggml-common.h.
 */
export function repack(type: GgmlType, bytes: Uint8Array): WeightBuffers {
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
      return repackUnchanged(type, bytes);
    case 'TQ1_0':
      return repackTernary(bytes);
  }
}

/** Copies only bytes that are not aligned to words. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** Q4_0, Q4_1, Q5_0, Q5_1: scale (and minimum), fifth bits, then 16 bytes: low nibbles first half, high nibbles second. */
function repackBlocks(
  bytes: Uint8Array,
  { scaleBytes, fifthBits }: { scaleBytes: 2 | 4; fifthBits: boolean },
): WeightBuffers {
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

function repackBytes(bytes: Uint8Array): WeightBuffers {
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
  // Adds 128 to the lower three bytes of each word, as `codes/8bit` expects.
  const weight = new Uint32Array(codes.buffer).map((word) => word ^ 0x00808080);
  return { weight, weight_scales: new Uint32Array(scales.buffer) };
}

/** MXFP4: an exponent, then nibbles of a sign (the upper bit) and a size. */
function repackFloat4(bytes: Uint8Array): WeightBuffers {
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

/** Q4_K, Q5_K: d, dmin, 12 bytes of 6-bit scales and minima, [fifth bits,] 128 bytes; blocks 2j and 2j + 1 share 32 bytes. */
function repackSuper(bytes: Uint8Array, fifthBits: boolean): WeightBuffers {
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
    if (fifthBits) transposeBits(view, at + 16, high.subarray(s * 8, s * 8 + 8));
  }
  return { weight, weight_scales: scales, ...(fifthBits && { weight_high: high }) };
}

/** llama.cpp's packing (get_scale_min_k4) → low nibbles of scales, low nibbles of minima, upper bits of both. */
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

/** Words of scales for `runs` runs of eight blocks with five words each, padded to whole groups of four runs. */
const fiveWords = (runs: number): number => Math.ceil(runs / 4) * 20;

/** Index of a run's scales. A group of four runs has their first words, then the other words of each. */
function placeOf(run: number): { first: number; others: number } {
  const four = Math.floor(run / 4) * 20;
  return { first: four + (run % 4), others: four + 4 + (run % 4) * 4 };
}

/** Q6_K: 128 bytes of nibbles, 64 of upper bit pairs, 16 scales, d. Block 4n + r: nibbles r >> 1, bit pair r of its half n. */
function repackSuper6(bytes: Uint8Array): WeightBuffers {
  const { blockBytes } = GGML_TYPES.Q6_K;
  const supers = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(supers * 32);
  const high = new Uint32Array(supers * 16);
  const scales = new Uint32Array(fiveWords(supers));
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
      for (const k of [0, 1]) high[s * 16 + block * 2 + k] = sixteenPairs(view, at + 128 + half * 32 + 16 * k, r);
    }
    const to = placeOf(s);
    scaleFloats[to.first] = halfToFloat(view.getUint16(at + 208, true));
    for (let word = 0; word < 4; word++) scales[to.others + word] = view.getUint32(at + 192 + word * 4, true);
  }
  return { weight, weight_high: high, weight_scales: scales };
}

/** Bit j of byte e, of 32 from `at`, becomes bit e of word j. */
function transposeBits(view: DataView, at: number, words: Uint32Array): void {
  for (let e = 0; e < 32; e++) {
    const bits = view.getUint8(at + e);
    for (let j = 0; j < 8; j++) words[j]! |= ((bits >> j) & 1) << e;
  }
}

/** Byte of a super-block at which its 64 bytes of bit pairs begin. */
const PAIRS_AT = { Q2_K: 16, Q3_K: 32, TQ2_0: 0 } as const;

/** Q2_K, Q3_K, TQ2_0: block 4n + r has the pairs r of half n. */
function repackPairs(type: keyof typeof PAIRS_AT, bytes: Uint8Array): WeightBuffers {
  const { blockBytes } = GGML_TYPES[type];
  const supers = bytes.length / blockBytes;
  const view = viewOf(bytes);
  const weight = new Uint32Array(supers * 16);
  for (let i = 0; i < weight.length; i++) {
    const block = (i >> 1) & 7;
    const at = (i >> 4) * blockBytes + PAIRS_AT[type] + 32 * (block >> 2) + 16 * (i & 1);
    weight[i] = sixteenPairs(view, at, block & 3);
  }
  if (type === 'TQ2_0') return { weight, weight_scales: repackHalves(type, bytes, 64) };
  if (type === 'Q2_K') return { weight, weight_scales: scalesAndMinima(view, supers) };
  const high = new Uint32Array(supers * 8);
  for (let s = 0; s < supers; s++) transposeBits(view, s * blockBytes, high.subarray(s * 8, s * 8 + 8));
  return { weight, weight_high: high, weight_scales: scalesOfHalves(view, supers) };
}

/** Q2_K: 16 bytes of scales and minima; d and dmin come last in a block. */
function scalesAndMinima(view: DataView, supers: number): Uint32Array {
  const { blockBytes } = GGML_TYPES.Q2_K;
  const scales = new Uint32Array(fiveWords(supers));
  for (let s = 0; s < supers; s++) {
    const at = s * blockBytes;
    const to = placeOf(s);
    scales[to.first] = view.getUint32(at + 80, true);
    for (let word = 0; word < 4; word++) scales[to.others + word] = view.getUint32(at + 4 * word, true);
  }
  return scales;
}

/** Q3_K: 12 bytes of 6-bit scales, the upper bits in the last four, then d → d as f32, low nibbles, upper bits. */
function scalesOfHalves(view: DataView, supers: number): Uint32Array {
  const { blockBytes } = GGML_TYPES.Q3_K;
  const scales = new Uint32Array(supers * 4);
  const floats = new Float32Array(scales.buffer);
  for (let s = 0; s < supers; s++) {
    const at = s * blockBytes + 96;
    floats[s * 4] = halfToFloat(view.getUint16(at + 12, true));
    for (const k of [0, 1]) scales[s * 4 + 1 + k] = nibbles(view, at, 4 * k);
    for (let k = 0; k < 4; k++) scales[s * 4 + 3]! |= lowPairs(view.getUint32(at + 8, true) >>> (2 * k)) << (8 * k);
  }
  return scales;
}

/** The half at byte `at` of each block of `type`, two to a word. */
function repackHalves(type: GgmlType, bytes: Uint8Array, at: number): Uint32Array {
  const { blockBytes } = GGML_TYPES[type];
  const view = viewOf(bytes);
  const blocks = bytes.length / blockBytes;
  const halves = new Uint16Array(Math.ceil(blocks / 2) * 2);
  for (let b = 0; b < blocks; b++) halves[b] = view.getUint16(b * blockBytes + at, true);
  return new Uint32Array(halves.buffer);
}

/** `count` words from byte `at` on of each block of `type`. */
function repackWords(type: GgmlType, bytes: Uint8Array, at: number, count: number): Uint32Array {
  const { blockBytes } = GGML_TYPES[type];
  const view = viewOf(bytes);
  return Uint32Array.from({ length: (bytes.length / blockBytes) * count }, (_, i) =>
    view.getUint32(Math.floor(i / count) * blockBytes + at + 4 * (i % count), true),
  );
}

/** IQ4_XS: d and scales, unchanged; then 16 bytes a block, whose low nibbles are its first half. */
function repackSuper4(bytes: Uint8Array): WeightBuffers {
  const { blockBytes } = GGML_TYPES.IQ4_XS;
  const view = viewOf(bytes);
  const weight = Uint32Array.from({ length: (bytes.length / blockBytes) * 32 }, (_, i) =>
    nibbles(view, (i >> 5) * blockBytes + 8 + 16 * ((i >> 2) & 7) + 8 * (i & 1), (i & 2) === 0 ? 0 : 4),
  );
  return { weight, weight_scales: repackWords('IQ4_XS', bytes, 0, 2) };
}

/** IQ3_XXS: d, indices of a table, signs and scales, all unchanged. */
const repackGrid = (bytes: Uint8Array): WeightBuffers => ({
  weight: repackWords('IQ3_XXS', bytes, 2, 16),
  weight_high: repackWords('IQ3_XXS', bytes, 66, 8),
  weight_scales: repackHalves('IQ3_XXS', bytes, 0),
});

/** Q1_0, Q2_0: d and 16 bytes of quants, unchanged. */
const repackUnchanged = (type: 'Q1_0' | 'Q2_0', bytes: Uint8Array): WeightBuffers => ({
  weight: repackWords(type, bytes, 2, 4),
  weight_scales: repackHalves(type, bytes, 0),
});

/** TQ1_0: bytes of five digits, bytes of four digits and d, unchanged. */
const repackTernary = (bytes: Uint8Array): WeightBuffers => ({
  weight: repackWords('TQ1_0', bytes, 0, 12),
  weight_high: repackWords('TQ1_0', bytes, 48, 1),
  weight_scales: repackHalves('TQ1_0', bytes, 52),
});

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The low nibbles of four bytes, packed into 16 bits. */
function squeeze(word: number): number {
  let x = word & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0xffff;
}

/** Eight nibbles of eight bytes from `at`: low ones for `shift` 0, high ones for 4. */
const nibbles = (view: DataView, at: number, shift: number): number =>
  squeeze(view.getUint32(at, true) >>> shift) | (squeeze(view.getUint32(at + 4, true) >>> shift) << 16);

/** The lowest two bits of four bytes, packed into 8 bits. */
function lowPairs(word: number): number {
  let x = word & 0x03030303;
  x = (x | (x >>> 6)) & 0x000f000f;
  return (x | (x >>> 12)) & 0xff;
}

/** The bit pair `r` of sixteen bytes from `at`. */
function sixteenPairs(view: DataView, at: number, r: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= lowPairs(view.getUint32(at + 4 * i, true) >>> (2 * r)) << (8 * i);
  return word;
}
