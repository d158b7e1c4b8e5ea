import type { ModelConfig } from '../config/model-config.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { openGguf } from '../weights/gguf/gguf-split.ts';
import { readModelConfig } from '../weights/model-config.ts';
import { checkTensors, draftHeadTensors } from '../weights/model-tensors.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
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
  return { config, tensors: await dequantized(checkTensors(gguf, config)) };
}

/** The same of a model's draft head; see `draftHeadTensors`. */
export async function readReferenceDraftHead(sources: readonly ByteSource[]): Promise<ReferenceModel> {
  const gguf = await openGguf(sources);
  const head = draftHeadTensors(gguf, readModelConfig(gguf));
  if (!head) throw new Error('no draft head');
  return { config: head.config, tensors: await dequantized(head.tensors) };
}

async function dequantized(tensors: ReadonlyMap<string, TensorInfo>): Promise<Map<string, Float32Array>> {
  const floats = new Map<string, Float32Array>();
  for (const [key, { type, source, offset, bytes }] of tensors)
    floats.set(key, dequantize(type, await source.read(offset, bytes)));
  return floats;
}
