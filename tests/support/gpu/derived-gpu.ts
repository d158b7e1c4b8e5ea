import { nodeGpu } from '../../../cli/node-gpu.ts';
import { derived } from './derived.ts';

/** The software adapter, but for what `members` gives in place of a device's own. */
export function derivedGpu(members: (gpuDevice: GPUDevice) => Partial<GPUDevice>): GPU {
  const gpu = nodeGpu();
  return derived(gpu, {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const gpuAdapter = await gpu.requestAdapter(options);
      if (!gpuAdapter) return null;
      return derived(gpuAdapter, {
        requestDevice: async (descriptor?: GPUDeviceDescriptor) => {
          const gpuDevice = await gpuAdapter.requestDevice(descriptor);
          return derived(gpuDevice, members(gpuDevice));
        },
      });
    },
  });
}
