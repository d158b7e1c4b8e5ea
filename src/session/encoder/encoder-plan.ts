import type { EncoderConfig } from '../../config/encoder-config.ts';
import type { Device } from '../../gpu/device.ts';
import { recorderBytes } from '../../gpu/recorder.ts';
import { encoderActivationBytes } from '../../models/encoder.ts';
import { checkEncoderTensors, isOnGpu, readEncoderConfig } from '../../weights/encoder-config.ts';
import type { ModelHeader } from '../../weights/model-header.ts';
import { readTokenizerMetadata } from '../../weights/tokenizer-metadata.ts';
import { checkMatrices, checkSizes, contextOf, gpuBytes, licenseOf, type ModelLimits, type ModelPlan, sum } from '../model-plan.ts';

/** Batches of a prefill that one of an encoder is as long as: it has no answers beside it to wait for. */
const BATCHES = 4;
/** Tokens of a prefill's tile. */
const TILE = 64;

/** An encoder found fit for a device, from its header alone, and what it will take there. */
export interface EncoderPlan extends Pick<ModelPlan, 'file' | 'license' | 'tokenizer' | 'tensors' | 'contextLength' | 'batchTokens' | 'tensorBytes' | 'totalBytes' | 'weights'> {
  config: EncoderConfig;
}

/** As `planHeader` of models that answer. Errors: `bad_file`, `unsupported`, `over_limit`, `bad_request`. */
export function planEncoder(device: Device, header: ModelHeader, limits: ModelLimits): EncoderPlan {
  const { file } = header.metadata;
  const config = readEncoderConfig(header);
  const tensors = checkEncoderTensors(header, config);
  const contextLength = contextOf(config, limits.contextLength ?? header.usualLength);
  // Texts are not cut: a batch has room for the longest.
  const batchTokens = Math.ceil(Math.max(BATCHES * device.variant.batchTokens, contextLength) / TILE) * TILE;
  const activations = encoderActivationBytes(config, batchTokens);
  const positions = config.numSegments * config.contextLength * config.hiddenSize * 4;
  const weightBytes = sum([...tensors.values()].filter(({ name }) => isOnGpu(name)).map(gpuBytes)) + positions;
  const totalBytes = weightBytes + sum(Object.values(activations)) + recorderBytes;
  checkSizes(device, file, { totalBytes, weightBytes, contextLength, buffers: { positions, ...activations } }, limits);
  checkMatrices(device, file, [...tensors.values()]);
  const tokenizer = readTokenizerMetadata(header);
  const tensorBytes = sum([...tensors.values()].map(({ bytes }) => bytes));
  return { file, license: licenseOf(header.metadata), config, tokenizer, tensors, contextLength, batchTokens, tensorBytes, totalBytes };
}
