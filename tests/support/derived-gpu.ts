import { nodeGpu } from '../../cli/node-gpu.ts';

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

/** `object` with some members of its own; the rest are those of the original, called on the original. */
export function derived<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      if (name in members) return members[name as keyof T];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
