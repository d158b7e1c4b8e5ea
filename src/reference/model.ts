import type { ModelConfig } from '../config/model-config.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { openGguf } from '../weights/gguf/gguf-split.ts';
import { readModelConfig } from '../weights/model-config.ts';
import { checkTensors } from '../weights/model-tensors.ts';
import { dequantize } from './dequantize.ts';

/** A model in f32, in the order of its file. */
export interface ReferenceModel {
  config: ModelConfig;
  /** Matrices are row-major `[rows, columns]`. */
  tensors: ReadonlyMap<string, Float32Array>;
}

/** Reads and dequantizes every tensor. Errors: `bad_file`, `unsupported`. */
export async function readReferenceModel(sources: readonly ByteSource[]): Promise<ReferenceModel> {
  const gguf = await openGguf(sources);
  const config = readModelConfig(gguf);
  const tensors = new Map<string, Float32Array>();
  for (const { name, type, source, offset, bytes } of checkTensors(gguf, config).values()) {
    tensors.set(name, dequantize(type, await source.read(offset, bytes)));
  }
  return { config, tensors };
}
