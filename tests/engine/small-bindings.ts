import { nodeGpu } from '../../cli/node-gpu.ts';

/**
 * The software adapter as if its storage bindings held `maxBytes`: WebGPU has no way to ask for less than its default.
 * A larger binding throws.
 */
export function gpuWithBindings(maxBytes: number): GPU {
  const gpu = nodeGpu();
  return derived(gpu, {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const gpuAdapter = await gpu.requestAdapter(options);
      if (!gpuAdapter) return null;
      return derived(gpuAdapter, {
        requestDevice: async (descriptor?: GPUDeviceDescriptor) => {
          const gpuDevice = await gpuAdapter.requestDevice(descriptor);
          const limits = derived(gpuDevice.limits, { maxStorageBufferBindingSize: maxBytes });
          const createBindGroup = (group: GPUBindGroupDescriptor): GPUBindGroup => {
            for (const { resource } of group.entries) checkSize(resource as GPUBufferBinding, maxBytes);
            return gpuDevice.createBindGroup(group);
          };
          return derived(gpuDevice, { limits, createBindGroup });
        },
      });
    },
  });
}

function checkSize({ buffer, offset = 0, size = buffer.size - offset }: GPUBufferBinding, maxBytes: number): void {
  if (size > maxBytes) throw new RangeError(`a binding of ${size} bytes`);
}

/** `object` with some members of its own; the rest are those of the original, called on the original. */
function derived<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      if (name in members) return members[name as keyof T];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
