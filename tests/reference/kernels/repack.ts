import { nonLinear } from '../dequantize.ts';
import { gridSize } from '../iq3-grid.ts';
import { bfloat16ToFloat, halfToFloat } from '../half.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';

/** The buffers a kernel reads: low bits of quants, upper bits, scales. */
export interface Planes {
  weight?: Uint32Array;
  weight_high?: Uint32Array;
  weight_scales?: Uint32Array;
}

type Words = Record<'weight' | 'high' | 'scales', Uint32Array>;

/** The value of element `i`, and the elements per word of `weight`. */
interface Layout {
  perWord: number;
  value: (words: Words, i: number) => number;
}

/** The values in these buffers in order, in the layouts that shaders/parts/codes.wgsl and scales.wgsl document. */
export function unpackBuffers(type: GgmlType, { weight, weight_high, weight_scales }: Planes): Float64Array {
  const none = new Uint32Array();
  const words = { weight: weight ?? none, high: weight_high ?? none, scales: weight_scales ?? none };
  const { perWord, value } = LAYOUTS[type];
  return Float64Array.from({ length: Math.round(perWord * words.weight.length) }, (_, i) => value(words, i));
}

/** The i-th item of `bits` bits. */
function item(words: Uint32Array, bits: number, i: number): number {
  const perWord = 32 / bits;
  return ((words[Math.floor(i / perWord)] ?? 0) >>> (bits * (i % perWord))) & (2 ** bits - 1);
}

const half = (words: Uint32Array, i: number): number => halfToFloat(item(words, 16, i));
const single = (words: Uint32Array, i: number): number => new Float32Array(words.slice(i, i + 1).buffer)[0] ?? NaN;
const signed = (byte: number): number => (byte << 24) >> 24;
const block = (i: number): number => Math.floor(i / 32);
const run = (i: number): number => Math.floor(i / 256);
/** Index of the half block within a run of sixteen. */
const halfBlock = (i: number): number => Math.floor(i / 16) % 16;

/** For types with five words of scales per run, stored in groups of four runs: the index of the first word, and of the element's byte in the others. */
function inFours(i: number): { first: number; byte: number } {
  const four = 20 * Math.floor(run(i) / 4);
  return { first: four + (run(i) % 4), byte: 4 * (four + 4) + 16 * (run(i) % 4) + halfBlock(i) };
}

const nibble = ({ weight }: Words, i: number): number => item(weight, 4, i);
const pair = ({ weight }: Words, i: number): number => item(weight, 2, i);
const fifth = (words: Words, i: number): number => nibble(words, i) + 16 * item(words.high, 1, i);

type Code = (words: Words, i: number) => number;

const symmetric =
  (code: Code, offset: number, span = 32): Layout['value'] =>
  (words, i) =>
    half(words.scales, Math.floor(i / span)) * (code(words, i) + offset);

const affine =
  (code: Code): Layout['value'] =>
  (words, i) =>
    half(words.scales, 2 * block(i)) * code(words, i) + half(words.scales, 2 * block(i) + 1);

const grouped =
  (code: Code): Layout['value'] =>
  (words, i) => {
    const group = block(i) % 8;
    const own = words.scales.subarray(4 * run(i), 4 * run(i) + 4);
    const scale = item(own, 4, 8 + group) + 16 * item(own, 2, 48 + group);
    const minimum = item(own, 4, 16 + group) + 16 * item(own, 2, 56 + group);
    return half(own, 0) * scale * code(words, i) - half(own, 1) * minimum;
  };

/** The ternary digit of an element, 0 to 2. */
function ternary({ weight, high }: Words, i: number): number {
  const k = i % 256;
  const digitOf = (byte: number, digit: number): number => Math.floor((((byte * 3 ** digit) % 256) * 3) / 256);
  if (k < 160) return digitOf(item(weight, 8, 48 * run(i) + (k % 32)), k >> 5);
  if (k < 240) return digitOf(item(weight, 8, 48 * run(i) + 32 + (k % 16)), (k - 160) >> 4);
  return digitOf(item(high, 8, 4 * run(i) + (k % 4)), (k - 240) >> 2);
}

/** The sign of an element: of each eight, an even number are negative, so that seven bits suffice. */
function isNegative({ high }: Words, i: number): boolean {
  const signs = ((high[block(i)] ?? 0) >>> (7 * ((i >> 3) & 3))) & 127;
  if (i % 8 < 7) return ((signs >> (i % 8)) & 1) === 1;
  return [0, 1, 2, 3, 4, 5, 6].filter((k) => (signs >> k) & 1).length % 2 === 1;
}

const FLOAT4 = [0, 1, 2, 3, 4, 6, 8, 12];

const LAYOUTS: Record<GgmlType, Layout> = {
  F32: { perWord: 1, value: ({ weight }, i) => single(weight, i) },
  F16: { perWord: 2, value: ({ weight }, i) => half(weight, i) },
  BF16: { perWord: 2, value: ({ weight }, i) => bfloat16ToFloat(item(weight, 16, i)) },
  Q1_0: { perWord: 32, value: symmetric(({ weight }, i) => 2 * item(weight, 1, i), -1, 128) },
  Q2_0: { perWord: 16, value: symmetric(pair, -1, 64) },
  Q4_0: { perWord: 8, value: symmetric(nibble, -8) },
  Q4_1: { perWord: 8, value: affine(nibble) },
  Q5_0: { perWord: 8, value: symmetric(fifth, -16) },
  Q5_1: { perWord: 8, value: affine(fifth) },
  Q8_0: { perWord: 4, value: symmetric(({ weight }, i) => signed(item(weight, 8, i) ^ (i % 4 < 3 ? 0x80 : 0)), 0) },
  Q2_K: {
    perWord: 16,
    value(words, i) {
      const { first, byte: at } = inFours(i);
      const byte = item(words.scales, 8, at);
      return (
        half(words.scales, 2 * first) * (byte & 15) * pair(words, i) - half(words.scales, 2 * first + 1) * (byte >> 4)
      );
    },
  },
  Q3_K: {
    perWord: 16,
    value(words, i) {
      const own = words.scales.subarray(4 * run(i), 4 * run(i) + 4);
      const scale = item(own, 4, 8 + halfBlock(i)) + 16 * item(own, 2, 48 + halfBlock(i)) - 32;
      return single(own, 0) * scale * (pair(words, i) + 4 * item(words.high, 1, i) - 4);
    },
  },
  Q4_K: { perWord: 8, value: grouped(nibble) },
  Q5_K: { perWord: 8, value: grouped(fifth) },
  Q6_K: {
    perWord: 8,
    value(words, i) {
      const { first, byte } = inFours(i);
      const scale = signed(item(words.scales, 8, byte));
      return single(words.scales, first) * scale * (nibble(words, i) + 16 * item(words.high, 2, i) - 32);
    },
  },
  IQ3_XXS: {
    perWord: 16,
    value(words, i) {
      const scale = half(words.scales, run(i)) * (0.25 + ((words.high[block(i)] ?? 0) >>> 28) / 2);
      const size = gridSize(item(words.weight, 8, Math.floor(i / 4)), i % 4);
      return isNegative(words, i) ? -scale * size : scale * size;
    },
  },
  IQ4_NL: { perWord: 8, value: symmetric((words, i) => nonLinear(nibble(words, i)), 0) },
  IQ4_XS: {
    perWord: 8,
    value(words, i) {
      const own = words.scales.subarray(2 * run(i), 2 * run(i) + 2);
      const group = block(i) % 8;
      return half(own, 0) * (item(own, 4, 8 + group) + 16 * item(own, 2, 8 + group) - 32) * nonLinear(nibble(words, i));
    },
  },
  TQ1_0: { perWord: 64 / 3, value: symmetric(ternary, -1, 256) },
  TQ2_0: { perWord: 16, value: symmetric(pair, -1, 256) },
  MXFP4: {
    perWord: 8,
    value(words, i) {
      const steps = nibble(words, i) - 8;
      return 2 ** (item(words.scales, 8, block(i)) - 128) * Math.sign(steps) * (FLOAT4[Math.abs(steps)] ?? NaN);
    },
  },
};
