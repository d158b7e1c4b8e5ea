import { baseNames } from '../adapters/formats/base-name.ts';
import { cacheBytes, layerPageBytes, pagesFor } from '../cache/kv-cache.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { recorderBytes } from '../gpu/recorder.ts';
import { activationBytes } from '../layers/activations.ts';
import { matrixBytes, sliceRows } from '../layers/weight-matrix.ts';
import { ropeTableBytes, ropeTables } from '../models/rope-table.ts';
import { samplerBytes } from './sampling/sampler.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { readModelConfig } from '../weights/model-config.ts';
import { checkTensors } from '../weights/model-tensors.ts';
import { openModelFile } from '../weights/open-model-file.ts';
import type { WeightType } from '../weights/quantize.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { readTokenizerMetadata } from '../weights/tokenizer-metadata.ts';

/** Longest context taken by default, in tokens. */
const DEFAULT_CONTEXT = 4096;

export interface ModelLimits {
  contextLength?: number;
  memoryLimitBytes?: number;
  /** What a safetensors model's matrices become; default: Q8_0, or Q4_1 where that exceeds `memoryLimitBytes`. */
  weights?: WeightType;
}

/** A model found fit for a device, from its header alone, and what it will take there. */
export interface ModelPlan {
  file: string;
  /** What the model may be called. */
  names: readonly string[];
  /** As the header names it. */
  license: string | undefined;
  /** What the matrices of a safetensors model become; undefined for GGUF, whose types are the file's. */
  weights?: WeightType;
  config: ModelConfig;
  tokenizer: TokenizerMetadata;
  tensors: ReadonlyMap<string, TensorInfo>;
  contextLength: number;
  batchTokens: number;
  numPages: number;
  /** Bytes of tensors in the file: what loading reads. */
  tensorBytes: number;
  /** GPU bytes that the model will take, but for small change. */
  totalBytes: number;
}

/**
 * Reads the header of a model and refuses what this device, or the caller's limit, does not allow, before any weight
 * is read. Errors: `bad_file`, `unsupported`, `over_limit`, `bad_request`.
 */
export async function planModel(
  device: Device,
  sources: readonly ByteSource[],
  limits: ModelLimits = {},
): Promise<ModelPlan> {
  if (!isSafetensors(sources)) return planHeader(device, await openModelFile(sources), limits);
  const plan = async (weights: WeightType): Promise<ModelPlan> => {
    const file = await openModelFile(sources, weights === 'stored' ? undefined : weights);
    return { ...planHeader(device, file, limits), weights };
  };
  if (limits.weights !== undefined) return plan(limits.weights);
  return plan('Q8_0').catch((error: unknown) => {
    if (!(error instanceof ChunkwiseError) || error.code !== 'over_limit') throw error;
    return plan('Q4_1');
  });
}

/** The same of a header that is read already. */
export function planHeader(device: Device, model: ModelHeader, limits: ModelLimits): ModelPlan {
  const { file } = model.metadata;
  const config = readModelConfig(model);
  const tensors = checkTensors(model, config);
  const contextLength = contextOf(config, limits.contextLength);
  const { batchTokens } = device.variant;
  const numPages = pagesFor(contextLength);
  const cache = { numPages, batchTokens };
  const tensorBytes = sum([...tensors.values()].map(({ bytes }) => bytes));
  const activations = activationBytes(config, batchTokens);
  const rope = ropeTableBytes(config, contextLength);
  const weightBytes = sum([...tensors.values()].map(gpuBytes));
  const activationTotal = sum(Object.values(activations)) + ropeTables(config) * rope + samplerBytes(device, config.vocabSize);
  const totalBytes = weightBytes + cacheBytes(config, cache) + activationTotal + recorderBytes;

  const { memoryLimitBytes = Infinity } = limits;
  if (totalBytes > memoryLimitBytes) {
    const reason = `the model needs ${totalBytes} bytes of GPU memory (${weightBytes} of weights), the limit is ${memoryLimitBytes}`;
    throw new ChunkwiseError('over_limit', { file, field: 'memoryLimitBytes', reason });
  }
  const binding = device.limits.maxStorageBufferBindingSize;
  const largest: [string, number][] = [
    ['kv cache of a layer', Math.max(...layerPageBytes(config, cache))],
    ['rope table', rope],
    ...Object.entries(activations),
  ];
  for (const [field, size] of largest) {
    if (size <= binding) continue;
    const reason = `${size} bytes at a context of ${contextLength} tokens, but a binding holds ${binding} on this device`;
    throw new ChunkwiseError('over_limit', { file, field, reason });
  }
  for (const { name, type, shape } of tensors.values()) {
    if (shape[1] === undefined || sliceRows(device.limits, type, shape[1]) > 0) continue;
    const reason = `256 rows of ${shape[1]} columns in ${type} exceed this device's largest buffer or binding`;
    throw new ChunkwiseError('over_limit', { file, field: name, reason });
  }
  const tokenizer = readTokenizerMetadata(model);
  const names = baseNames(model.metadata);
  const license = licenseOf(model.metadata);
  return { file, names, license, config, tokenizer, tensors, contextLength, batchTokens, numPages, tensorBytes, totalBytes };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** `other`: its name stands beside. */
function licenseOf(metadata: ModelHeader['metadata']): string | undefined {
  const [license, name] = ['general.license', 'general.license.name'].map((key) => metadata.get(key));
  const told = license === 'other' && typeof name === 'string' ? name : license;
  return typeof told === 'string' ? told : undefined;
}

const gpuBytes = ({ type, shape: [rows = 0, columns], bytes }: TensorInfo): number =>
  columns === undefined ? bytes : matrixBytes(type, rows, columns);

function contextOf(config: ModelConfig, asked: number | undefined): number {
  if (asked === undefined) return Math.min(config.contextLength, DEFAULT_CONTEXT);
  if (Number.isInteger(asked) && asked >= 1 && asked <= config.contextLength) return asked;
  const reason = `must be a whole number from 1 to ${config.contextLength}, what the model was trained for; got ${asked}`;
  throw new ChunkwiseError('bad_request', { field: 'contextLength', reason });
}
