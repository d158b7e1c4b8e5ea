import { halfToFloat } from '../../weights/float-tensor.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import { lowPairs, nibbles, sixteenPairs, viewOf } from './packed-bits.ts';
import type { Planes } from './weight-formats.ts';

/** Q4_K, Q5_K: d, dmin, 12 bytes of 6-bit scales and minima, [fifth bits,] 128 bytes; blocks 2j and 2j + 1 share 32 bytes. */
export function repackSuper(bytes: Uint8Array, fifthBits: boolean): Planes {
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

/** Words of scales where each of `runs` runs of eight blocks has five: fours of them are whole. */
const fiveWords = (runs: number): number => Math.ceil(runs / 4) * 20;

/** Where a run's are: of four runs the first words come before the others of each. */
function placeOf(run: number): { first: number; others: number } {
  const four = Math.floor(run / 4) * 20;
  return { first: four + (run % 4), others: four + 4 + (run % 4) * 4 };
}

/** Q6_K: 128 bytes of nibbles, 64 of upper bit pairs, 16 scales, d. Block 4n + r: nibbles r >> 1, bit pair r of its half n. */
export function repackSuper6(bytes: Uint8Array): Planes {
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

/** Where 64 bytes of bit pairs begin in a super-block. */
const PAIRS_AT = { Q2_K: 16, Q3_K: 32, TQ2_0: 0 } as const;

/** Q2_K, Q3_K, TQ2_0: block 4n + r has pairs r of half n. */
export function repackPairs(type: keyof typeof PAIRS_AT, bytes: Uint8Array): Planes {
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

/** Q2_K: 16 bytes of scales and minima, and d and dmin, which come last. */
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

/** Q3_K: 12 bytes of 6-bit scales, whose upper bits are the last four's, and d → d as f32, low nibbles, upper bits. */
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

/** The halves that stand `at` bytes into blocks of `type`, two to a word. */
function repackHalves(type: GgmlType, bytes: Uint8Array, at: number): Uint32Array {
  const { blockBytes } = GGML_TYPES[type];
  const view = viewOf(bytes);
  const blocks = bytes.length / blockBytes;
  const halves = new Uint16Array(Math.ceil(blocks / 2) * 2);
  for (let b = 0; b < blocks; b++) halves[b] = view.getUint16(b * blockBytes + at, true);
  return new Uint32Array(halves.buffer);
}

/** `count` words that stand `at` bytes into each block of `type`. */
function repackWords(type: GgmlType, bytes: Uint8Array, at: number, count: number): Uint32Array {
  const { blockBytes } = GGML_TYPES[type];
  const view = viewOf(bytes);
  return Uint32Array.from({ length: (bytes.length / blockBytes) * count }, (_, i) =>
    view.getUint32(Math.floor(i / count) * blockBytes + at + 4 * (i % count), true),
  );
}

/** IQ4_XS: d and scales, as they are, then 16 bytes a block: the low nibbles are its first half. */
export function repackSuper4(bytes: Uint8Array): Planes {
  const { blockBytes } = GGML_TYPES.IQ4_XS;
  const view = viewOf(bytes);
  const weight = Uint32Array.from({ length: (bytes.length / blockBytes) * 32 }, (_, i) =>
    nibbles(view, (i >> 5) * blockBytes + 8 + 16 * ((i >> 2) & 7) + 8 * (i & 1), (i & 2) === 0 ? 0 : 4),
  );
  return { weight, weight_scales: repackWords('IQ4_XS', bytes, 0, 2) };
}

/** IQ3_XXS: d, places in a table, then signs and scales: as they are. */
export const repackGrid = (bytes: Uint8Array): Planes => ({
  weight: repackWords('IQ3_XXS', bytes, 2, 16),
  weight_high: repackWords('IQ3_XXS', bytes, 66, 8),
  weight_scales: repackHalves('IQ3_XXS', bytes, 0),
});

/** Q1_0, Q2_0: d, then 16 bytes of codes: as they are. */
export const repackApart = (type: 'Q1_0' | 'Q2_0', bytes: Uint8Array): Planes => ({
  weight: repackWords(type, bytes, 2, 4),
  weight_scales: repackHalves(type, bytes, 0),
});

/** TQ1_0: bytes of five digits, bytes of four, d: as they are. */
export const repackTernary = (bytes: Uint8Array): Planes => ({
  weight: repackWords('TQ1_0', bytes, 0, 12),
  weight_high: repackWords('TQ1_0', bytes, 48, 1),
  weight_scales: repackHalves('TQ1_0', bytes, 52),
});
