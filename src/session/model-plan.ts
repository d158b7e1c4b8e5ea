import { baseNames } from '../adapters/adapter-file.ts';
import { cacheBytes, layerPageBytes, pagesFor } from '../cache/kv-cache.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { megabytes } from '../util/values.ts';
import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { recorderBytes } from '../gpu/recorder.ts';
import { activationBytes } from '../layers/activation-buffers.ts';
import { matrixBytes, sliceRows } from '../layers/weight-matrix.ts';
import { ropeTableBytes, ropeTables } from '../models/rope-table.ts';
import { samplerBytes } from './sampling/sampler.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { readModelConfig } from '../weights/model-config.ts';
import { checkTensors, draftHeadTensors, onGpu } from '../weights/model-tensors.ts';
import { openModelFile } from '../weights/open-model-file.ts';
import type { WeightType } from '../weights/quantize.ts';
import { isSafetensors, namesEncoder } from '../weights/safetensors/safetensors-model.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { readTokenizerMetadata } from '../weights/tokenizer-metadata.ts';

/** Longest default context, in tokens. */
const DEFAULT_CONTEXT = 4096;
/** Most tokens of a draft head's batch. */
const DRAFT_BATCH_TOKENS = 64;
/** Default weight type of safetensors matrices, and its replacement if it exceeds `memoryLimitBytes`. */
const WEIGHTS = ['Q8_0', 'Q4_1'] as const;
/** Encoders are small, and 8-bit weights change their vectors. */
const ENCODER_WEIGHTS = ['F16', 'Q8_0'] as const;

export interface ModelLimits {
  contextLength?: number;
  memoryLimitBytes?: number;
  /**
   * Weight type for a safetensors model's matrices; default: Q8_0, or Q4_1 if that exceeds `memoryLimitBytes`; for
   * encoders F16, or Q8_0.
   */
  weights?: WeightType;
}

/** The plan of a model on a device, from its header alone. */
export interface ModelPlan {
  file: string;
  /** Names of the model. */
  names: readonly string[];
  /** The license as the header names it. */
  license: string | undefined;
  /** Weight type of a safetensors model's matrices; undefined for GGUF. */
  weights?: WeightType;
  config: ModelConfig;
  tokenizer: TokenizerMetadata;
  tensors: ReadonlyMap<string, TensorInfo>;
  contextLength: number;
  batchTokens: number;
  numPages: number;
  /** Bytes of tensors that loading reads from the file. */
  tensorBytes: number;
  /** GPU bytes that the model takes, up to a small remainder. */
  totalBytes: number;
  /** The plan of the model's draft head, if it has one that fits. */
  draftHead?: DraftHeadPlan | undefined;
}

/** The plan of a draft head, beside its model's. */
export interface DraftHeadPlan extends Pick<ModelPlan, 'config' | 'tensors' | 'batchTokens' | 'totalBytes'> {
  /** Bytes that each of its steps reads: its own tensors, and the model's output. */
  tensorBytes: number;
  /** Bytes of the model's hidden states for every token of a text. */
  states: number;
}

/**
 * Reads the header of a model, and refuses one that the device or the caller's limit does not allow, before any
 * weight is read. Errors: `bad_file`, `unsupported`, `over_limit`, `bad_request`.
 */
export async function planModel(
  device: Device,
  sources: readonly ByteSource[],
  limits: ModelLimits = {},
): Promise<ModelPlan> {
  return withWeights(sources, limits, (header) => planHeader(device, header, limits));
}

/**
 * Runs `plan` on a model's header. If the caller sets no weight type for a safetensors model, tries a smaller one
 * after `over_limit`. Errors: those of `plan` and of `openModelFile`.
 */
export async function withWeights<T extends object>(
  sources: readonly ByteSource[],
  limits: ModelLimits,
  plan: (header: ModelHeader) => T,
): Promise<T & { weights?: WeightType }> {
  if (!isSafetensors(sources)) return plan(await openModelFile(sources));
  const as = async (weights: WeightType): Promise<T & { weights: WeightType }> => {
    const header = await openModelFile(sources, weights === 'stored' ? undefined : weights);
    return { ...plan(header), weights };
  };
  if (limits.weights !== undefined) return as(limits.weights);
  const [usual, smaller] = (await namesEncoder(sources)) ? ENCODER_WEIGHTS : WEIGHTS;
  return as(usual).catch((error: unknown) => {
    if (!(error instanceof ChunkwiseError) || error.code !== 'over_limit') throw error;
    return as(smaller);
  });
}

/** Plans a header that is read already. */
export function planHeader(device: Device, model: ModelHeader, limits: ModelLimits): ModelPlan {
  const { file } = model.metadata;
  const config = readModelConfig(model);
  const tensors = checkTensors(model, config);
  const contextLength = contextOf(config, limits.contextLength);
  const { batchTokens } = device.variant;
  const numPages = pagesFor(contextLength);
  const cache = { numPages, batchTokens };
  const loaded = onGpu(tensors);
  const tensorBytes = sum(loaded.map(({ bytes }) => bytes));
  const activations = activationBytes(config, batchTokens);
  const rope = ropeTableBytes(config, contextLength);
  const weightBytes = sum(loaded.map(gpuBytes));
  const activationTotal =
    sum(Object.values(activations)) + ropeTables(config) * rope + samplerBytes(device, config.vocabSize);
  const totalBytes = weightBytes + cacheBytes(config, cache) + activationTotal + recorderBytes(device);

  const buffers = {
    'kv cache of a layer': Math.max(...layerPageBytes(config, cache)),
    'rope table': rope,
    ...activations,
  };
  checkSizes(device, file, { totalBytes, weightBytes, contextLength, buffers }, limits);
  checkMatrices(device, file, loaded, (name) => rowsTogether(config, name));
  const tokenizer = readTokenizerMetadata(model);
  const names = baseNames(model.metadata);
  const license = licenseOf(model.metadata);
  const draftHead = planDraftHead(device, model, { config, contextLength, numPages, tensors });
  const hasRoom = draftHead && totalBytes + draftHead.totalBytes <= (limits.memoryLimitBytes ?? Infinity);
  return {
    file,
    names,
    license,
    config,
    tokenizer,
    tensors,
    contextLength,
    batchTokens,
    numPages,
    tensorBytes,
    totalBytes,
    ...(hasRoom && { draftHead }),
  };
}

/**
 * Undefined if the model has no draft head, or the device cannot hold it: answers are the same without. Errors:
 * `bad_file`.
 */
function planDraftHead(
  device: Device,
  model: ModelHeader,
  {
    config,
    contextLength,
    numPages,
    tensors: shared,
  }: Pick<ModelPlan, 'config' | 'contextLength' | 'numPages' | 'tensors'>,
): DraftHeadPlan | undefined {
  const head = draftHeadTensors(model, config);
  if (!head) return undefined;
  const batchTokens = Math.min(device.variant.batchTokens, DRAFT_BATCH_TOKENS);
  const states = (contextLength + 1) * config.hiddenSize * 4;
  const own = [...head.tensors.values()].filter(({ name }) => name.startsWith('blk.'));
  const output = shared.get(config.tiedEmbeddings ? 'token_embd.weight' : 'output.weight');
  const activations = activationBytes(head.config, batchTokens);
  const cache = { numPages, batchTokens };
  const most = Math.max(states, ...layerPageBytes(head.config, cache), ...Object.values(activations));
  if (most > device.limits.maxStorageBufferBindingSize) return undefined;
  const tensorBytes = sum(own.map(({ bytes }) => bytes));
  const totalBytes =
    states +
    sum(own.map(gpuBytes)) +
    cacheBytes(head.config, cache) +
    sum(Object.values(activations)) +
    ropeTableBytes(config, contextLength) +
    samplerBytes(device, config.vocabSize) +
    recorderBytes(device);
  return {
    config: head.config,
    tensors: head.tensors,
    batchTokens,
    tensorBytes: tensorBytes + (output?.bytes ?? 0),
    totalBytes,
    states,
  };
}

/** GPU memory of a model: the total, and its largest buffers by name. */
interface Sizes {
  totalBytes: number;
  /** Bytes of weights among these. */
  weightBytes: number;
  contextLength: number;
  buffers: Readonly<Record<string, number>>;
}

/** Errors: `over_limit`. */
export function checkSizes(
  device: Device,
  file: string,
  { totalBytes, weightBytes, contextLength, buffers }: Sizes,
  { memoryLimitBytes = Infinity }: ModelLimits,
): void {
  if (totalBytes > memoryLimitBytes) {
    const reason = `the model needs ${megabytes(totalBytes)} of GPU memory (${megabytes(weightBytes)} of weights), but may take ${megabytes(memoryLimitBytes, Math.floor)}`;
    throw new ChunkwiseError('over_limit', { file, field: 'memoryLimitBytes', reason });
  }
  const binding = device.limits.maxStorageBufferBindingSize;
  for (const [field, size] of Object.entries(buffers)) {
    if (size <= binding) continue;
    const reason = `needs ${megabytes(size)} at a context of ${contextLength} tokens, but a buffer holds ${megabytes(binding, Math.floor)} on this device`;
    throw new ChunkwiseError('over_limit', { file, field, reason });
  }
}

/** Rows of a matrix that stay in one slice: those of an expert, whose gate and up are one matrix. */
function rowsTogether({ experts, hiddenSize }: ModelConfig, name: string): number {
  if (!experts || !name.includes('_exps')) return 1;
  return name.includes('ffn_down') ? hiddenSize : 2 * experts.intermediateSize;
}

/** Errors: `over_limit`, naming the tensor. `together`: rows that stay in one slice. */
export function checkMatrices(
  device: Device,
  file: string,
  tensors: readonly TensorInfo[],
  together: (name: string) => number = () => 1,
): void {
  for (const { name, type, shape } of tensors) {
    if (shape[1] === undefined || sliceRows(device.limits, type, shape[1]) >= together(name)) continue;
    const reason = `${Math.max(256, together(name))} rows of ${shape[1]} columns in ${type} exceed this device's largest buffer or binding`;
    throw new ChunkwiseError('over_limit', { file, field: name, reason });
  }
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** The license, with its name if the type is `other`. */
export function licenseOf(metadata: ModelHeader['metadata']): string | undefined {
  const [license, name] = ['general.license', 'general.license.name'].map((key) => metadata.get(key));
  const told = license === 'other' && typeof name === 'string' ? name : license;
  return typeof told === 'string' ? told : undefined;
}

export const gpuBytes = ({ type, shape: [rows = 0, columns], bytes }: TensorInfo): number =>
  columns === undefined ? bytes : matrixBytes(type, rows, columns);

export function contextOf(config: Pick<ModelConfig, 'contextLength'>, asked: number | undefined): number {
  if (asked === undefined) return Math.min(config.contextLength, DEFAULT_CONTEXT);
  if (Number.isInteger(asked) && asked >= 1 && asked <= config.contextLength) return asked;
  const reason = `must be a whole number from 1 to ${config.contextLength}, what the model was trained for, but is ${asked}`;
  throw new ChunkwiseError('bad_request', { field: 'contextLength', reason });
}
