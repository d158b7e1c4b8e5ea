import { nodeGpu } from '../../../tools/instruments/node-gpu.ts';
import { derived } from './derived.ts';

type RequestDevice = (gpuAdapter: GPUAdapter, descriptor?: GPUDeviceDescriptor) => Promise<GPUDevice>;

/** The software adapter with devices from `requestDevice`. */
export function gpuWithDevices(requestDevice: RequestDevice): GPU {
  const gpu = nodeGpu();
  return derived(gpu, {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const gpuAdapter = await gpu.requestAdapter(options);
      return (
        gpuAdapter && derived(gpuAdapter, { requestDevice: (descriptor) => requestDevice(gpuAdapter, descriptor) })
      );
    },
  });
}

/** The software adapter with `members` in place of a device's own. */
export const derivedGpu = (members: (gpuDevice: GPUDevice) => Partial<GPUDevice>): GPU =>
  gpuWithDevices(async (gpuAdapter, descriptor) => {
    const gpuDevice = await gpuAdapter.requestDevice(descriptor);
    return derived(gpuDevice, members(gpuDevice));
  });
