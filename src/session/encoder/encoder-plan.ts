import type { EncoderConfig } from '../../config/encoder-config.ts';
import type { Device } from '../../gpu/device.ts';
import { recorderBytes } from '../../gpu/recorder.ts';
import { bidirectionalActivationBytes } from '../../models/bidirectional-encoder.ts';
import { encoderActivationBytes } from '../../models/encoder.ts';
import { ropeTableBytes, ropeTables } from '../../models/rope-table.ts';
import { checkEncoderTensors, isOnGpu, readEncoderConfig } from '../../weights/encoder-config.ts';
import type { ModelHeader } from '../../weights/model-header.ts';
import { readTokenizerMetadata } from '../../weights/tokenizer-metadata.ts';
import {
  checkMatrices,
  checkSizes,
  contextOf,
  gpuBytes,
  licenseOf,
  type ModelLimits,
  type ModelPlan,
  sum,
} from '../model-plan.ts';

/** An encoder batch is as long as this many prefill batches: no answers wait beside it. */
const BATCHES = 4;
/** Tokens of a prefill tile. */
const TILE = 64;

/** The plan of an encoder on a device, from its header alone. */
export interface EncoderPlan extends Pick<
  ModelPlan,
  | 'file'
  | 'license'
  | 'tokenizer'
  | 'tensors'
  | 'contextLength'
  | 'batchTokens'
  | 'tensorBytes'
  | 'totalBytes'
  | 'weights'
> {
  config: EncoderConfig;
}

/** Like `planHeader`, for encoders. Errors: `bad_file`, `unsupported`, `over_limit`, `bad_request`. */
export function planEncoder(device: Device, header: ModelHeader, limits: ModelLimits): EncoderPlan {
  const { file } = header.metadata;
  const config = readEncoderConfig(header);
  const tensors = checkEncoderTensors(header, config);
  const contextLength = contextOf(config, limits.contextLength ?? header.usualLength);
  // Texts are not cut: a batch has room for the longest.
  const batchTokens = Math.ceil(Math.max(BATCHES * device.variant.batchTokens, contextLength) / TILE) * TILE;
  const { activations, positions, tables } = sizesOf(config, batchTokens, contextLength);
  const weightBytes = sum([...tensors.values()].filter(({ name }) => isOnGpu(name)).map(gpuBytes)) + tables * positions;
  const totalBytes = weightBytes + sum(Object.values(activations)) + recorderBytes(device);
  checkSizes(device, file, { totalBytes, weightBytes, contextLength, buffers: { positions, ...activations } }, limits);
  checkMatrices(device, file, [...tensors.values()]);
  const tokenizer = readTokenizerMetadata(header);
  const tensorBytes = sum([...tensors.values()].map(({ bytes }) => bytes));
  return {
    file,
    license: licenseOf(header.metadata),
    config,
    tokenizer,
    tensors,
    contextLength,
    batchTokens,
    tensorBytes,
    totalBytes,
  };
}

/** Bytes of activations and of a position table, and the number of tables. */
function sizesOf(
  config: EncoderConfig,
  batchTokens: number,
  contextLength: number,
): { activations: Record<string, number>; positions: number; tables: number } {
  if ('decoder' in config) {
    const { decoder } = config;
    return {
      activations: bidirectionalActivationBytes(config, batchTokens),
      positions: ropeTableBytes(decoder, contextLength),
      tables: ropeTables(decoder),
    };
  }
  return {
    activations: encoderActivationBytes(config, batchTokens),
    positions: config.numSegments * config.contextLength * config.hiddenSize * 4,
    tables: 1,
  };
}
