import { derived } from './derived.ts';
import { gpuWithDevices } from './derived-gpu.ts';

const devices = new Map<string, Promise<GPUDevice>>();
/** What was compiled: Dawn gives the same again as long as it lives. */
const compiled = new Set<GPUShaderModule | GPUComputePipeline>();

/**
 * The software adapter with devices that stay open: what asks for one like another's gets that one, and finds compiled
 * what it compiled before. For tests in which no device is lost.
 */
export const lastingGpu = (): GPU => gpuWithDevices(borrowDevice);

async function borrowDevice(gpuAdapter: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
  const key = JSON.stringify(descriptor);
  const requested = devices.get(key) ?? gpuAdapter.requestDevice(descriptor);
  devices.set(key, requested);
  const device = await requested;
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
