import { floatToHalf, halfToFloat } from './float-tensor.ts';
import { GGML_TYPES } from './ggml-types.ts';
import type { GgmlType } from './ggml-types.ts';

/** What floats are quantized to while they are loaded: half, one code of 8 bits, or of 4 with a minimum, a weight. */
export type LoadedType = Extract<GgmlType, 'F16' | 'Q8_0' | 'Q4_1'>;
/** `stored`: matrices of floats stay as they are. */
export type WeightType = LoadedType | 'stored';

/** Whole blocks of values in the layout of GGUF's `type`, rounded to nearest (llama.cpp, ggml/src/ggml-quants.c). */
export function quantize(type: LoadedType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
  const view = new DataView(bytes.buffer);
  const encode = ENCODERS[type];
  for (let at = 0, from = 0; from < values.length; at += blockBytes, from += blockSize) encode(values, from, view, at);
  return bytes;
}

/** Encodes the block of values that begins at `from`, at byte `at`. */
type Encoder = (values: Float32Array, from: number, view: DataView, at: number) => void;

const ENCODERS: Record<LoadedType, Encoder> = {
  F16: (values, from, view, at) => view.setUint16(at, floatToHalf(values[from]!), true),
  Q8_0(values, from, view, at) {
    let largest = 0;
    for (let i = 0; i < 32; i++) largest = Math.max(largest, Math.abs(values[from + i]!));
    const scale = putHalf(view, at, largest / 127);
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let i = 0; i < 32; i++) view.setInt8(at + 2 + i, clamp(Math.round(values[from + i]! * inverse), -127, 127));
  },
  Q4_1(values, from, view, at) {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < 32; i++) {
      low = Math.min(low, values[from + i]!);
      high = Math.max(high, values[from + i]!);
    }
    const scale = putHalf(view, at, (high - low) / 15);
    const minimum = putHalf(view, at + 2, low);
    const inverse = scale === 0 ? 0 : 1 / scale;
    const code = (i: number): number => clamp(Math.round((values[from + i]! - minimum) * inverse), 0, 15);
    for (let i = 0; i < 16; i++) view.setUint8(at + 4 + i, code(i) | (code(i + 16) << 4));
  },
};

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Writes a half and returns the value it holds, which codes go by. */
function putHalf(view: DataView, at: number, value: number): number {
  const half = floatToHalf(value);
  view.setUint16(at, half, true);
  return halfToFloat(half);
}
