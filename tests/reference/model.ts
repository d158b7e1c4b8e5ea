import type { ModelConfig } from '../../src/config/model-config.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { checkTensors, draftHeadTensors } from '../../src/weights/model-tensors.ts';
import type { ModelHeader } from '../../src/weights/model-header.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { dequantize } from './dequantize.ts';

/** A model in f32, in the order of its file. */
export interface ReferenceModel {
  config: ModelConfig;
  /** Matrices are row-major `[rows, columns]`. */
  tensors: ReadonlyMap<string, Float32Array>;
}

/** Reads and dequantizes every tensor. Errors: `bad_file`, `unsupported`. */
export const readReferenceModel = async (sources: readonly ByteSource[]): Promise<ReferenceModel> =>
  referenceOf(await openGguf(sources));

/** The same for a model whose header was read. */
export async function referenceOf(file: ModelHeader): Promise<ReferenceModel> {
  const config = readModelConfig(file);
  return { config, tensors: await dequantized(checkTensors(file, config)) };
}

/** The same for a model's draft head; see `draftHeadTensors`. */
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
