import type { DeltaNet, ModelConfig } from '../config/model-config.ts';
import type { GgufFile } from './gguf/gguf-reader.ts';

/**
 * A model's metadata and tensors under GGUF's names, for every file format. Optional fields come from formats that
 * state them.
 */
export interface ModelHeader extends Pick<GgufFile, 'metadata' | 'tensors'> {
  /** Row order of q and k, if it differs from GGUF files of the architecture. */
  readonly ropeLayout?: ModelConfig['ropeLayout'];
  /** Encoder: longest intended text, in tokens. */
  readonly usualLength?: number | undefined;
  /** Encoder: vectors are scaled to length 1. */
  readonly isNormalized?: boolean | undefined;
  /** Encoder: dense layers come after pooling. */
  readonly hasDense?: boolean | undefined;
  /** Layers without rotation. */
  readonly unrotatedLayers?: ModelConfig['unrotatedLayers'];
  /** YaRN's `truncate`; GGUF files have no key for it. */
  readonly yarnTruncates?: boolean;
  /** Order of a delta net's value heads, if it differs from GGUF files. */
  readonly valueHeads?: DeltaNet['valueHeads'];
}
