import { derived } from './derived.ts';
import { gpuWithDevices } from './derived-gpu.ts';

/** A device that stays open, and what those who have it listen with: one that is done with it listens no more. */
interface Lasting {
  device: GPUDevice;
  listeners: Set<EventListener>;
}

const devices = new Map<string, Promise<Lasting>>();
/** What was compiled: Dawn gives the same again as long as it lives. */
const compiled = new Set<GPUShaderModule | GPUComputePipeline>();

/**
 * The software adapter with devices that stay open: what asks for one like another's gets that one, and finds compiled
 * what it compiled before. For tests in which no device is lost.
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
    // As of a device that is destroyed, what is asked of it afterwards is not done.
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

/** It hears of errors with one listener, however many have it at once. */
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
