import { type GpuAdapterOptions, openDevice } from '../gpu/device.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { isEncoder } from '../weights/encoder-config.ts';
import { planEncoder } from './encoder/encoder-plan.ts';
import { type ModelLimits, planHeader, withWeights } from './model-plan.ts';

/**
 * Refuses a model by its header alone, before its weights are downloaded, and tells what the header says of its license.
 * Errors: `no_webgpu`, and those of `planModel` and `planEncoder`.
 */
export async function checkModel(
  sources: readonly ByteSource[],
  { gpu, gpuAdapter, ...limits }: ModelLimits & { gpu: GPU | undefined; gpuAdapter?: GpuAdapterOptions | undefined },
): Promise<{ license: string | undefined }> {
  const device = await openDevice(gpu, { gpuAdapter });
  try {
    const { license } = await withWeights(sources, limits, (header) =>
      (isEncoder(header) ? planEncoder : planHeader)(device, header, limits),
    );
    return { license };
  } finally {
    device.close();
  }
}
