import { derived } from './derived.ts';
import { derivedGpu } from './derived-gpu.ts';

/**
 * The software adapter with storage bindings of at most `maxBytes`; a larger binding throws. WebGPU itself cannot request a
 * limit below its default.
 */
export function gpuWithBindings(maxBytes: number): GPU {
  return derivedGpu((gpuDevice) => ({
    limits: derived(gpuDevice.limits, { maxStorageBufferBindingSize: maxBytes }),
    createBindGroup: (group) => {
      for (const { resource } of group.entries) checkSize(resource as GPUBufferBinding, maxBytes);
      return gpuDevice.createBindGroup(group);
    },
  }));
}

function checkSize({ buffer, offset = 0, size = buffer.size - offset }: GPUBufferBinding, maxBytes: number): void {
  if (size > maxBytes) throw new RangeError(`a binding of ${size} bytes`);
}
