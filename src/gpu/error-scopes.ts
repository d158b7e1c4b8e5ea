import { megabytes } from '../config/megabytes.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from './device.ts';
import { throwIfLost } from './readback.ts';

/** Runs `work`; what the device refuses meanwhile is thrown as `over_limit`, unless `work` fails by itself. */
export async function noErrors<T>(device: Device, file: string, work: () => Promise<T>): Promise<T> {
  const { gpuDevice } = device;
  gpuDevice.pushErrorScope('out-of-memory');
  gpuDevice.pushErrorScope('validation');
  const popped = (): Promise<(GPUError | null)[]> =>
    Promise.all([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]).catch((cause: unknown) => {
      throw new ChunkwiseError('device_lost', { file, reason: device.lost() ?? String(cause) }, { cause });
    });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await popped();
    if (!(error instanceof ChunkwiseError)) throwIfLost(device, error);
    throw error;
  }
  const refused = (await popped()).find((error) => error !== null);
  throwIfLost(device);
  if (refused) {
    const asked = megabytes(device.buffers.report().total);
    const reason = `the device refused, asked for ${asked} of GPU memory together: ${refused.message}`;
    throw new ChunkwiseError('over_limit', { file, reason });
  }
  return result;
}
