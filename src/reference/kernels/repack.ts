import { nonLinear } from '../dequantize.ts';
import { gridSize } from '../iq3-grid.ts';
import { bfloat16ToFloat, halfToFloat } from '../half.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';

/** The planes a kernel reads: codes, their upper bits, scales. */
export interface Planes {
  weight?: Uint32Array;
  weight_high?: Uint32Array;
  weight_scales?: Uint32Array;
}

/** The values that planes hold, one after another, as the comments of shaders/slots/codes and scales describe them. */
export function unpackPlanes(type: GgmlType, planes: Planes): Float64Array {
  const { weight = new Uint32Array(), weight_high: high = new Uint32Array(), weight_scales: scales = new Uint32Array() } = planes;
  /** The i-th item of `bits` bits. */
  const item = (words: Uint32Array, bits: number, i: number): number => {
    const perWord = 32 / bits;
    return ((words[Math.floor(i / perWord)] ?? 0) >>> (bits * (i % perWord))) & (2 ** bits - 1);
  };
  const half = (words: Uint32Array, i: number): number => halfToFloat(item(words, 16, i));
  const signed = (byte: number): number => (byte << 24) >> 24;
  const valuesOf = (count: number, value: (i: number) => number): Float64Array =>
    Float64Array.from({ length: count }, (_, i) => value(i));
  const nibble = (i: number): number => item(weight, 4, i);
  const fifth = (i: number): number => nibble(i) + 16 * item(high, 1, i);
  const pair = (i: number): number => item(weight, 2, i);
  const block = (i: number): number => Math.floor(i / 32);
  const run = (i: number): number => Math.floor(i / 256);
  const affine = (code: (i: number) => number) => (i: number) =>
    half(scales, 2 * block(i)) * code(i) + half(scales, 2 * block(i) + 1);
  const grouped = (code: (i: number) => number) => (i: number) => {
    const [superBlock, group] = [Math.floor(i / 256), block(i) % 8];
    const own = scales.subarray(4 * superBlock, 4 * superBlock + 4);
    const scale = item(own, 4, 8 + group) + 16 * item(own, 2, 48 + group);
    const minimum = item(own, 4, 16 + group) + 16 * item(own, 2, 56 + group);
    return half(own, 0) * scale * code(i) - half(own, 1) * minimum;
  };
  const ternary = (i: number): number => {
    const k = i % 256;
    const [byte, digit] =
      k < 160 ? [item(weight, 8, 48 * run(i) + (k % 32)), k >> 5]
      : k < 240 ? [item(weight, 8, 48 * run(i) + 32 + (k % 16)), (k - 160) >> 4]
      : [item(high, 8, 4 * run(i) + (k % 4)), (k - 240) >> 2];
    return Math.floor((((byte * 3 ** digit) % 256) * 3) / 256) - 1;
  };
  const isNegative = (i: number): boolean => {
    const signs = ((high[block(i)] ?? 0) >>> (7 * ((i >> 3) & 3))) & 127;
    if (i % 8 < 7) return ((signs >> (i % 8)) & 1) === 1;
    return [0, 1, 2, 3, 4, 5, 6].filter((k) => (signs >> k) & 1).length % 2 === 1;
  };
  switch (type) {
    case 'F32':
      return Float64Array.from(new Float32Array(weight.slice().buffer));
    case 'F16':
      return valuesOf(2 * weight.length, (i) => half(weight, i));
    case 'BF16':
      return valuesOf(2 * weight.length, (i) => bfloat16ToFloat(item(weight, 16, i)));
    case 'Q1_0':
      return valuesOf(32 * weight.length, (i) => half(scales, Math.floor(i / 128)) * (2 * item(weight, 1, i) - 1));
    case 'Q2_0':
      return valuesOf(16 * weight.length, (i) => half(scales, Math.floor(i / 64)) * (pair(i) - 1));
    case 'Q4_0':
      return valuesOf(8 * weight.length, (i) => half(scales, block(i)) * (nibble(i) - 8));
    case 'Q4_1':
      return valuesOf(8 * weight.length, affine(nibble));
    case 'Q5_0':
      return valuesOf(8 * weight.length, (i) => half(scales, block(i)) * (fifth(i) - 16));
    case 'Q5_1':
      return valuesOf(8 * weight.length, affine(fifth));
    case 'Q8_0':
      return valuesOf(4 * weight.length, (i) => half(scales, block(i)) * signed(item(weight, 8, i) ^ (i % 4 < 3 ? 0x80 : 0)));
    case 'Q2_K':
      return valuesOf(16 * weight.length, (i) => {
        const own = scales.subarray(5 * run(i), 5 * run(i) + 5);
        const byte = item(own, 8, 4 + (Math.floor(i / 16) % 16));
        return half(own, 0) * (byte & 15) * pair(i) - half(own, 1) * (byte >> 4);
      });
    case 'Q3_K': {
      const floats = new Float32Array(scales.slice().buffer);
      return valuesOf(16 * weight.length, (i) => {
        const own = scales.subarray(4 * run(i), 4 * run(i) + 4);
        const k = Math.floor(i / 16) % 16;
        const scale = item(own, 4, 8 + k) + 16 * item(own, 2, 48 + k) - 32;
        return (floats[4 * run(i)] ?? 0) * scale * (pair(i) + 4 * item(high, 1, i) - 4);
      });
    }
    case 'IQ3_XXS':
      return valuesOf(16 * weight.length, (i) => {
        const scale = half(scales, run(i)) * (0.25 + ((high[block(i)] ?? 0) >>> 28) / 2);
        const size = gridSize(item(weight, 8, Math.floor(i / 4)), i % 4);
        return isNegative(i) ? -scale * size : scale * size;
      });
    case 'IQ4_NL':
      return valuesOf(8 * weight.length, (i) => half(scales, block(i)) * nonLinear(nibble(i)));
    case 'IQ4_XS':
      return valuesOf(8 * weight.length, (i) => {
        const own = scales.subarray(2 * run(i), 2 * run(i) + 2);
        const k = block(i) % 8;
        return half(own, 0) * (item(own, 4, 8 + k) + 16 * item(own, 2, 8 + k) - 32) * nonLinear(nibble(i));
      });
    case 'TQ1_0':
      return valuesOf((64 * weight.length) / 3, (i) => half(scales, run(i)) * ternary(i));
    case 'TQ2_0':
      return valuesOf(16 * weight.length, (i) => half(scales, run(i)) * (pair(i) - 1));
    case 'MXFP4':
      return valuesOf(8 * weight.length, (i) => {
        const steps = nibble(i) - 8;
        return 2 ** (item(scales, 8, block(i)) - 128) * Math.sign(steps) * ([0, 1, 2, 3, 4, 6, 8, 12][Math.abs(steps)] ?? NaN);
      });
    case 'Q4_K':
      return valuesOf(8 * weight.length, grouped(nibble));
    case 'Q5_K':
      return valuesOf(8 * weight.length, grouped(fifth));
    case 'Q6_K': {
      const floats = new Float32Array(scales.slice().buffer);
      return valuesOf(8 * weight.length, (i) => {
        const superBlock = Math.floor(i / 256);
        const scale = signed(item(scales, 8, superBlock * 20 + 4 + (Math.floor(i / 16) % 16)));
        return (floats[superBlock * 5] ?? 0) * scale * (nibble(i) + 16 * item(high, 2, i) - 32);
      });
    }
  }
}
