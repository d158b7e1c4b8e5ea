import type { TuningStore } from '../../gpu/autotuner.ts';
import type { Variant } from '../../gpu/device-variant.ts';
import type { Device } from '../../gpu/device.ts';
import { renderKernel } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { encoderChecks, encoderKernels } from '../../models/checks/encoder-checks.ts';
import { rightFor } from '../checks/session-checks.ts';
import type { EncoderPlan } from './encoder-plan.ts';

/**
 * The variant with which this device computes right what an encoder runs on, as it was found for these kernels once, or by
 * asking it now. Errors: `wrong_results`, `device_lost`.
 */
export function checkEncoder(
  device: Device,
  recorder: Recorder,
  { config, tensors }: EncoderPlan,
  store: TuningStore,
): Promise<Variant> {
  return rightFor({ device, recorder }, store, {
    name: 'right with an encoder',
    texts: encoderKernels(device, config, tensors).map(renderKernel),
    groups: (apart) => encoderChecks(apart, recorder, config, tensors),
  });
}
