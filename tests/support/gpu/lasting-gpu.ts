import { derived } from './derived.ts';
import { gpuWithDevices } from './derived-gpu.ts';

/** A device that stays open, and the error listeners of its current users. */
interface Lasting {
  device: GPUDevice;
  listeners: Set<EventListener>;
}

const devices = new Map<string, Promise<Lasting>>();
/** Compiled modules and pipelines: Dawn reuses one while it is alive. */
const compiled = new Set<GPUShaderModule | GPUComputePipeline>();

/**
 * The software adapter with devices that stay open: an equal request gets the same device, with its compiled pipelines. For
 * tests in which no device is lost.
 */
export const lastingGpu = (): GPU => gpuWithDevices(borrowDevice);

async function borrowDevice(gpuAdapter: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
  const key = JSON.stringify(descriptor);
  const requested = devices.get(key) ?? open(gpuAdapter, descriptor);
  devices.set(key, requested);
  const { device, listeners } = await requested;
  const own: EventListener[] = [];
  let isOpen = true;
  const { queue } = device;
  return derived(device, {
    // Ignores submissions and writes after `destroy`, like a destroyed device.
    queue: derived(queue, {
      submit: (commands) => void (isOpen && queue.submit(commands)),
      writeBuffer: (...args: Parameters<GPUQueue['writeBuffer']>) => void (isOpen && queue.writeBuffer(...args)),
    }),
    destroy: () => {
      isOpen = false;
      for (const listener of own) listeners.delete(listener);
    },
    addEventListener: (_: string, listener: EventListener) => {
      own.push(listener);
      listeners.add(listener);
    },
    createShaderModule: (shader) => keep(device.createShaderModule(shader)),
    createComputePipeline: (pipeline) => keep(device.createComputePipeline(pipeline)),
    createComputePipelineAsync: async (pipeline) => keep(await device.createComputePipelineAsync(pipeline)),
  });
}

/** Opens a device with one listener for errors, which calls those of all users. */
async function open(gpuAdapter: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<Lasting> {
  const device = await gpuAdapter.requestDevice(descriptor);
  const listeners = new Set<EventListener>();
  device.addEventListener('uncapturederror', (event) => {
    for (const listener of listeners) listener(event);
  });
  return { device, listeners };
}

function keep<T extends GPUShaderModule | GPUComputePipeline>(made: T): T {
  compiled.add(made);
  return made;
}
