import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import type { WeightBufferName, WeightBuffers } from './weight-formats.ts';

/**
 * A test for NaN and infinities, whose exponents are all ones: `((word & exponent) + one) & sign` is not 0, since the sum
 * carries into the sign.
 */
export interface FloatBits {
  exponent: number;
  one: number;
  sign: number;
}

export const SINGLE: FloatBits = { exponent: 0x7f800000, one: 0x00800000, sign: 0x80000000 };
export const HALVES: FloatBits = { exponent: 0x7c007c00, one: 0x04000400, sign: 0x80008000 };
export const BFLOATS: FloatBits = { exponent: 0x7f807f80, one: 0x00800080, sign: 0x80008000 };

/** One half; the upper bits of the word are no float. */
const LOWER_HALF: FloatBits = { exponent: 0x7c00, one: 0x400, sign: 0x8000 };
/** Bytes 0 and 2: with exponents of 253 and more, products with quants are infinite or NaN. */
export const EXPONENTS: FloatBits = { exponent: 0x00ff00ff, one: 0x00030003, sign: 0x01000100 };

/** Floats of a type: the first `count` of every `stride` words of a buffer, shifted by each of `shifts`. All other numbers are integers. */
interface Floats {
  buffer: WeightBufferName;
  stride: number;
  count: number;
  bits: FloatBits;
  shifts?: readonly number[];
}

const scales = (stride: number, bits = HALVES, count = 1): Floats => ({ buffer: 'weight_scales', stride, count, bits });
const codes = (bits: FloatBits): Floats => ({ buffer: 'weight', stride: 1, count: 1, bits });

const FLOATS: Record<GgmlType, Floats> = {
  F32: codes(SINGLE),
  F16: codes(HALVES),
  BF16: codes(BFLOATS),
  Q1_0: scales(1),
  Q2_0: scales(1),
  Q4_0: scales(1),
  Q4_1: scales(1),
  Q5_0: scales(1),
  Q5_1: scales(1),
  Q8_0: scales(1),
  Q2_K: scales(20, HALVES, 4),
  Q3_K: scales(4, SINGLE),
  Q4_K: scales(4),
  Q5_K: scales(4),
  Q6_K: scales(20, SINGLE, 4),
  IQ3_XXS: scales(1),
  IQ4_NL: scales(1),
  IQ4_XS: scales(2, LOWER_HALF),
  TQ1_0: scales(1),
  TQ2_0: scales(1),
  MXFP4: { ...scales(1, EXPONENTS), shifts: [0, 8] },
};

/** Throws `bad_file`, with the tensor's name, if repacked rows of it hold a number or a scale that is NaN or infinite. */
export function checkFinite(tensor: TensorInfo, buffers: WeightBuffers): void {
  if (!areFinite(tensor.type, buffers)) throw notFinite(tensor);
}

/** The error for a tensor that is not finite. Values converted to its type may have been finite in the file. */
export const notFinite = ({ name, type, source }: TensorInfo): ChunkwiseError =>
  new ChunkwiseError('bad_file', {
    file: source.name,
    field: name,
    reason: `holds NaN, or a value that is infinite in ${type}`,
  });

function areFinite(type: GgmlType, buffers: WeightBuffers): boolean {
  const { buffer, stride, count, bits, shifts = [0] } = FLOATS[type];
  const words = buffers[buffer] ?? new Uint32Array();
  const { exponent, one, sign } = bits;
  let carried = 0;
  for (const shift of shifts) {
    for (let first = 0; first < words.length; first += stride) {
      for (let i = first; i < first + count; i++) carried |= ((((words[i] ?? 0) >>> shift) & exponent) + one) | 0;
    }
  }
  return (carried & sign) === 0;
}
