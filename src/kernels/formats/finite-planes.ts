import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import type { PlaneName, Planes } from './weight-formats.ts';

/**
 * What is added to a word so that an exponent of ones, which NaN and infinities have, carries into the sign: `exponent`
 * masks what it is added to, `sign` what it comes to.
 */
export interface FloatBits {
  exponent: number;
  one: number;
  sign: number;
}

export const SINGLE: FloatBits = { exponent: 0x7f800000, one: 0x00800000, sign: 0x80000000 };
export const HALVES: FloatBits = { exponent: 0x7c007c00, one: 0x04000400, sign: 0x80008000 };
export const BFLOATS: FloatBits = { exponent: 0x7f807f80, one: 0x00800080, sign: 0x80008000 };

/** A half beside what is none. */
const LOWER_HALF: FloatBits = { exponent: 0x7c00, one: 0x400, sign: 0x8000 };
/** Bytes 0 and 2: exponents of 253 and more are infinite once a code is multiplied by them, or NaN. */
export const EXPONENTS: FloatBits = { exponent: 0x00ff00ff, one: 0x00030003, sign: 0x01000100 };

/** Floats of the planes of a type: of every `stride` words the first `count`, shifted by each of `shifts`. All other numbers are whole. */
interface Floats {
  plane: PlaneName;
  stride: number;
  count: number;
  bits: FloatBits;
  shifts?: readonly number[];
}

const scales = (stride: number, bits = HALVES, count = 1): Floats => ({ plane: 'weight_scales', stride, count, bits });
const codes = (bits: FloatBits): Floats => ({ plane: 'weight', stride: 1, count: 1, bits });

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

/**
 * Refuses a tensor of which some rows, repacked, hold a number or a scale that is NaN or infinite. Throws `bad_file`,
 * naming the tensor.
 */
export function checkFinite(tensor: TensorInfo, planes: Planes): void {
  if (!areFinite(tensor.type, planes)) throw notFinite(tensor);
}

/** Why a tensor is refused: what was converted to its type may have been finite before. */
export const notFinite = ({ name, type, source }: TensorInfo): ChunkwiseError =>
  new ChunkwiseError('bad_file', {
    file: source.name,
    field: name,
    reason: `holds NaN, or what is infinite in ${type}`,
  });

function areFinite(type: GgmlType, planes: Planes): boolean {
  const { plane, stride, count, bits, shifts = [0] } = FLOATS[type];
  const words = planes[plane] ?? new Uint32Array();
  const { exponent, one, sign } = bits;
  let carried = 0;
  for (const shift of shifts) {
    for (let first = 0; first < words.length; first += stride) {
      for (let i = first; i < first + count; i++) carried |= ((((words[i] ?? 0) >>> shift) & exponent) + one) | 0;
    }
  }
  return (carried & sign) === 0;
}
