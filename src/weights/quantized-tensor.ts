import { checkReadRange } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import { decodeFloats } from './float-tensor.ts';
import { GGML_TYPES } from './ggml-types.ts';
import { quantize } from './quantize.ts';
import type { LoadedType } from './quantize.ts';
import type { TensorInfo } from './tensor-info.ts';

/** Values that are in memory as floats at once; whole blocks of every type. */
const STEP_VALUES = 1 << 17;

/** A tensor of floats as one of another type: what is read of it is read as floats and quantized, a little at a time. */
export function quantized(tensor: TensorInfo, type: LoadedType | 'F32'): TensorInfo {
  if (tensor.type === type) return tensor;
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const values = tensor.shape.reduce((product, length) => product * length, 1);
  const bytes = (values / blockSize) * blockBytes;
  return { ...tensor, type, bytes, offset: 0, source: new QuantizedSource(tensor, type, bytes) };
}

/** A tensor in F32 with each of its values changed, as they are read. */
export function changed(tensor: TensorInfo, change: (value: number) => number): TensorInfo {
  const { source, offset, bytes: size } = tensor;
  const read = async (from: number, length: number): Promise<Uint8Array> => {
    const floats = decodeFloats('F32', await source.read(offset + from, length));
    return new Uint8Array(floats.map(change).buffer);
  };
  return { ...tensor, offset: 0, source: { name: source.name, size, read } };
}

class QuantizedSource implements ByteSource {
  readonly name: string;

  constructor(
    private readonly tensor: TensorInfo,
    private readonly type: LoadedType | 'F32',
    readonly size: number,
  ) {
    this.name = tensor.source.name;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    const { blockSize, blockBytes } = GGML_TYPES[this.type];
    const result = new Uint8Array(length);
    const end = offset + length;
    const stepBytes = (STEP_VALUES / blockSize) * blockBytes;
    for (let at = Math.floor(offset / blockBytes) * blockBytes; at < end; at += stepBytes) {
      const until = Math.min(at + stepBytes, Math.ceil(end / blockBytes) * blockBytes);
      const bytes = await this.#quantize((at / blockBytes) * blockSize, ((until - at) / blockBytes) * blockSize);
      const from = Math.max(offset, at);
      result.set(bytes.subarray(from - at, Math.min(until, end) - at), from - offset);
    }
    return result;
  }

  async #quantize(first: number, count: number): Promise<Uint8Array> {
    const { type, offset, source } = this.tensor;
    const { blockBytes } = GGML_TYPES[type];
    const floats = decodeFloats(type, await source.read(offset + first * blockBytes, count * blockBytes));
    return this.type === 'F32'
      ? new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
      : quantize(this.type, floats);
  }
}
