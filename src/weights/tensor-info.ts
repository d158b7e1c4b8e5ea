import type { ByteSource } from './byte-source.ts';
import type { GgmlType } from './ggml-types.ts';

/** Place and type of a stored tensor. */
export interface TensorInfo {
  readonly name: string;
  /** Rows first: a linear's weight is `[outFeatures, inFeatures]`, the reverse of GGUF's order. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** Size of the tensor in bytes, and its offset in `source`. */
  readonly bytes: number;
  readonly offset: number;
  readonly source: ByteSource;
  /** Placeholder: the GPU fills it with random numbers; `source` has only a name. */
  readonly isRandom?: boolean;
}

/** `count` rows of a tensor from row `start`, under another name. */
export function rowsOf(
  { shape: [rows = 1, ...columns], bytes, offset, ...others }: TensorInfo,
  name: string,
  start: number,
  count: number,
): TensorInfo {
  const rowBytes = bytes / rows;
  return { ...others, name, shape: [count, ...columns], offset: offset + start * rowBytes, bytes: count * rowBytes };
}
