import type { DeltaNet, ModelConfig } from '../config/model-config.ts';
import type { GgufFile } from './gguf/gguf-reader.ts';

/** A model's metadata and tensors, under GGUF's names whatever its form. */
export interface ModelHeader extends Pick<GgufFile, 'metadata' | 'tensors'> {
  /** The order of q's and k's rows, where it is not that of GGUF files of the architecture. */
  readonly ropeLayout?: ModelConfig['ropeLayout'];
  /** Of an encoder, the longest text that it is meant for, in tokens, where the model says so. */
  readonly usualLength?: number | undefined;
  /** Of an encoder, whether its vectors are scaled to length one, where the model says so. */
  readonly isNormalized?: boolean | undefined;
  /** Of such an encoder, whether dense layers come behind pooling, where the model says so. */
  readonly hasDense?: boolean | undefined;
  /** Layers that are not rotated, where the model says it itself. */
  readonly unrotatedLayers?: ModelConfig['unrotatedLayers'];
  /** YaRN's `truncate`, where the model says it itself; GGUF files have no key for it. */
  readonly yarnTruncates?: boolean;
  /** The order of a delta net's value heads, where it is not that of GGUF files. */
  readonly valueHeads?: DeltaNet['valueHeads'];
}
