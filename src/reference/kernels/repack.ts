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
  const block = (i: number): number => Math.floor(i / 32);
  const affine = (code: (i: number) => number) => (i: number) =>
    half(scales, 2 * block(i)) * code(i) + half(scales, 2 * block(i) + 1);
  const grouped = (code: (i: number) => number) => (i: number) => {
    const [superBlock, group] = [Math.floor(i / 256), block(i) % 8];
    const own = scales.subarray(4 * superBlock, 4 * superBlock + 4);
    const scale = item(own, 4, 8 + group) + 16 * item(own, 2, 48 + group);
    const minimum = item(own, 4, 16 + group) + 16 * item(own, 2, 56 + group);
    return half(own, 0) * scale * code(i) - half(own, 1) * minimum;
  };
  switch (type) {
    case 'F32':
      return Float64Array.from(new Float32Array(weight.slice().buffer));
    case 'F16':
      return valuesOf(2 * weight.length, (i) => half(weight, i));
    case 'BF16':
      return valuesOf(2 * weight.length, (i) => bfloat16ToFloat(item(weight, 16, i)));
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
