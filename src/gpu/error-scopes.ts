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
  if (refused) throw new ChunkwiseError('over_limit', { file, reason: `the device refused: ${refused.message}` });
  return result;
}

/** What `work` makes of the device's modules and pipelines, and why the browser or its driver refuses it, if it does. */
export function refusable<T>(gpuDevice: GPUDevice, work: () => T): { made: T; refusal: Promise<string | undefined> } {
  gpuDevice.pushErrorScope('internal'); // what a driver says
  gpuDevice.pushErrorScope('validation');
  const made = work();
  // A lost device's scopes may reject; the loss is reported where it is noticed.
  const popped = Promise.allSettled([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]);
  const refusal = popped.then((results) => results.map((result) => (result.status === 'fulfilled' ? result.value?.message : undefined)));
  return { made, refusal: refusal.then((messages) => messages.find((message) => message !== undefined)) };
}
