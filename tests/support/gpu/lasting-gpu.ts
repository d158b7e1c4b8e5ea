import { nodeGpu } from '../../../cli/node-gpu.ts';
import { derived } from './derived.ts';

const devices = new Map<string, GPUDevice>();
/** What was compiled: Dawn gives the same again as long as it lives. */
const compiled = new Set<GPUShaderModule | GPUComputePipeline>();

/**
 * The software adapter with devices that stay open: what asks for one like another's gets that one, and finds compiled
 * what it compiled before. For tests in which no device is lost.
 */
export function lastingGpu(): GPU {
  const gpu = nodeGpu();
  return derived(gpu, {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const gpuAdapter = await gpu.requestAdapter(options);
      return gpuAdapter && derived(gpuAdapter, { requestDevice: (descriptor) => borrowDevice(gpuAdapter, descriptor) });
    },
  });
}

async function borrowDevice(gpuAdapter: GPUAdapter, descriptor: GPUDeviceDescriptor | undefined): Promise<GPUDevice> {
  const key = JSON.stringify(descriptor);
  const device = devices.get(key) ?? (await gpuAdapter.requestDevice(descriptor));
  devices.set(key, device);
  let isOpen = true;
  const { queue } = device;
  return derived(device, {
    // As of a device that is destroyed, what is asked of it afterwards is not done.
    queue: derived(queue, {
      submit: (commands) => void (isOpen && queue.submit(commands)),
      writeBuffer: (...args: Parameters<GPUQueue['writeBuffer']>) => void (isOpen && queue.writeBuffer(...args)),
    }),
    destroy: () => void (isOpen = false),
    addEventListener: (type: string, listener: EventListener) =>
      device.addEventListener(type, (event) => {
        if (isOpen) listener(event);
      }),
    createShaderModule: (shader) => keep(device.createShaderModule(shader)),
    createComputePipeline: (pipeline) => keep(device.createComputePipeline(pipeline)),
    createComputePipelineAsync: async (pipeline) => keep(await device.createComputePipelineAsync(pipeline)),
  });
}

function keep<T extends GPUShaderModule | GPUComputePipeline>(made: T): T {
  compiled.add(made);
  return made;
}
