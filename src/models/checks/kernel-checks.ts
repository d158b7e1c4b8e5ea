import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { CheckGroup } from '../../gpu/self-check.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { ATTENTION } from '../attention-contests.ts';
import { PREFILL, ROWS } from '../kernel-contests.ts';
import { attentionChecks } from './attention-checks.ts';
import { productChecks } from './product-checks.ts';

/** What the forward pass of such a model is computed with, at its widths. */
export async function kernelChecks(
  device: Device,
  recorder: Recorder,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<CheckGroup[]> {
  const { decode, prefill } = await productChecks(device, recorder, config, tensors);
  return [
    { candidates: ROWS, checks: decode },
    { candidates: PREFILL, checks: prefill },
    { candidates: ATTENTION, checks: attentionChecks(device, config) },
  ];
}
