import type { ByteSource } from './byte-source.ts';
import type { GgmlType } from './ggml-types.ts';

/** Where a tensor lies and how it is stored. */
export interface TensorInfo {
  readonly name: string;
  /** Rows first: a linear's weight is `[outFeatures, inFeatures]`. GGUF stores the reverse order. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** Bytes of the tensor in the file, and where they begin in `source`. */
  readonly bytes: number;
  readonly offset: number;
  readonly source: ByteSource;
  /** Its numbers do not matter: the GPU makes them up, and `source` has but a name. */
  readonly isRandom?: boolean;
}

/** Some rows of a tensor, as one of another name. */
export function rowsOf(
  { shape: [rows = 1, ...columns], bytes, offset, ...others }: TensorInfo,
  name: string,
  start: number,
  count: number,
): TensorInfo {
  const rowBytes = bytes / rows;
  return { ...others, name, shape: [count, ...columns], offset: offset + start * rowBytes, bytes: count * rowBytes };
}
