import { openGguf } from '../../../src/weights/gguf/gguf-split.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import { BytesSource } from '../bytes-source.ts';

/** Type and offsets of the floats in a block (llama.cpp, ggml/src/ggml-common.h). */
export const FLOATS: Record<GgmlType, { kind: 'F32' | 'F16' | 'BF16' | 'E8M0'; at: readonly number[] }> = {
  F32: { kind: 'F32', at: [0] },
  F16: { kind: 'F16', at: [0] },
  BF16: { kind: 'BF16', at: [0] },
  Q1_0: { kind: 'F16', at: [0] },
  Q2_0: { kind: 'F16', at: [0] },
  Q4_0: { kind: 'F16', at: [0] },
  Q4_1: { kind: 'F16', at: [0, 2] },
  Q5_0: { kind: 'F16', at: [0] },
  Q5_1: { kind: 'F16', at: [0, 2] },
  Q8_0: { kind: 'F16', at: [0] },
  Q2_K: { kind: 'F16', at: [80, 82] },
  Q3_K: { kind: 'F16', at: [108] },
  Q4_K: { kind: 'F16', at: [0, 2] },
  Q5_K: { kind: 'F16', at: [0, 2] },
  Q6_K: { kind: 'F16', at: [208] },
  IQ3_XXS: { kind: 'F16', at: [0] },
  IQ4_NL: { kind: 'F16', at: [0] },
  IQ4_XS: { kind: 'F16', at: [0] },
  TQ1_0: { kind: 'F16', at: [52] },
  TQ2_0: { kind: 'F16', at: [64] },
  MXFP4: { kind: 'E8M0', at: [0] },
};

/**
 * Two NaNs, both infinities, and the largest finite numbers, little-endian. Among bare exponents one is NaN, and three
 * overflow when multiplied by the largest code.
 */
export const BITS = {
  F32: { poison: [0x7fc00000, 0xff800001, 0x7f800000, 0xff800000], finite: [0x7f7fffff, 0xff7fffff, 0, 0x80000001] },
  F16: { poison: [0x7e00, 0xfc01, 0x7c00, 0xfc00], finite: [0x7bff, 0xfbff, 0, 0x8001] },
  BF16: { poison: [0x7fc0, 0xff81, 0x7f80, 0xff80], finite: [0x7f7f, 0xff7f, 0, 0x8001] },
  E8M0: { poison: [0xff, 0xfe, 0xfd], finite: [0xfc, 0, 1, 0x80] },
} as const;

export function writeBits(bytes: Uint8Array, at: number, kind: keyof typeof BITS, bits: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (kind === 'F32') view.setUint32(at, bits, true);
  else if (kind === 'E8M0') view.setUint8(at, bits);
  else view.setUint16(at, bits, true);
}

/** A copy of a GGUF model with a NaN in a tensor's last block. */
export async function poisoned(model: Uint8Array, name: string, blockBytes: number): Promise<Uint8Array> {
  const { tensors } = await openGguf([new BytesSource('model.gguf', model)]);
  const tensor = tensors.find((each) => each.name === name)!;
  const { kind, at } = FLOATS[tensor.type];
  const copy = model.slice();
  writeBits(copy, tensor.offset + tensor.bytes - blockBytes + at.at(-1)!, kind, BITS[kind].poison[0]);
  return copy;
}
