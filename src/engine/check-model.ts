import { type GpuAdapterOptions, openDevice } from '../gpu/device.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { type ModelLimits, planModel } from './model-plan.ts';

/**
 * What a model will take, from its header alone: refused here is refused before its weights are downloaded.
 * Errors: `no_webgpu` and those of `planModel`.
 */
export async function checkModel(
  sources: readonly ByteSource[],
  { gpu, gpuAdapter, ...limits }: ModelLimits & { gpu: GPU | undefined; gpuAdapter?: GpuAdapterOptions | undefined },
): Promise<{ totalBytes: number }> {
  const device = await openDevice(gpu, { gpuAdapter });
  try {
    const { totalBytes } = await planModel(device, sources, limits);
    return { totalBytes };
  } finally {
    device.close();
  }
}
