import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { CheckGroup } from '../../gpu/self-check.ts';
import { WeightUpload } from '../../layers/upload/weight-upload.ts';
import { onGpu } from '../../weights/model-tensors.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { ATTENTION } from '../attention-contests.ts';
import { PREFILL, ROWS } from '../kernel-contests.ts';
import { attentionChecks } from './attention-checks.ts';
import { convolutionCheck } from './convolution-check.ts';
import { attentionGateCheck, deltaNetCheck } from './delta-net-check.ts';
import { embeddingCheck, gateCheck, normCheck, normQkCheck } from './element-checks.ts';
import { elementExpertChecks, expertProductChecks } from './expert-checks.ts';
import { layerInputCheck, logitCapCheck } from './layer-input-checks.ts';
import { productChecks } from './product-checks.ts';
import { repackChecks } from './repack-checks.ts';

/** What the forward pass of such a model is computed with, at its widths. */
export async function kernelChecks(
  device: Device,
  recorder: Recorder,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<CheckGroup[]> {
  const { variant } = device;
  const types = new Set(
    onGpu(tensors)
      .filter(({ shape }) => shape.length === 2)
      .map(({ type }) => type),
  );
  const upload = checkUpload(device, recorder);
  const { decode, prefill } = await productChecks(device, upload, config, tensors);
  const embeddings = tensors.get('token_embd.weight');
  const { convolution, deltaNet, experts } = config;
  const mixers = [
    ...(convolution ? [convolutionCheck(device, config, convolution)] : []),
    ...(deltaNet ? [deltaNetCheck(device, config, deltaNet)] : []),
    ...(config.gatesAttention ? [attentionGateCheck(device, config)] : []),
  ];
  const ofExperts = experts ? elementExpertChecks(device, config, experts) : [];
  const ofInputs = [
    ...(config.perLayerInputs === undefined ? [] : [layerInputCheck(device, config)]),
    ...(config.logitCap === undefined ? [] : [logitCapCheck(device, config.logitCap)]),
  ];
  const others = [
    gateCheck(device, config),
    ...mixers,
    ...ofExperts,
    ...ofInputs,
    ...(embeddings ? [await embeddingCheck(device, upload, config, embeddings)] : []),
  ];
  const repacked = variant.repacksOnHost ? [] : [...types].flatMap((type) => repackChecks(device, type));
  return [
    { candidates: [{ repacksOnHost: true }], checks: repacked },
    {
      candidates: ROWS,
      checks: [
        normCheck(device, config),
        ...(config.postNorms ? [normCheck(device, config, 0.5)] : []),
        ...(config.normsQkWhole ? [normQkCheck(device, config)] : []),
        ...decode,
        ...(await expertProductChecks(device, upload, config, tensors)),
      ],
    },
    { candidates: PREFILL, checks: prefill },
    { candidates: [], checks: others },
    { candidates: ATTENTION, checks: attentionChecks(device, config) },
  ];
}

/** Of the matrices of checks. Whether the GPU repacks right is asked apart. */
export const checkUpload = (device: Device, recorder: Recorder): WeightUpload =>
  new WeightUpload({ ...device, variant: { ...device.variant, repacksOnHost: true } }, recorder);
