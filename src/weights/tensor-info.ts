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
