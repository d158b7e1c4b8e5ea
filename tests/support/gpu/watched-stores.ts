import type { AccessSite } from '../../../tools/instruments/traced-text.ts';
import { ownedText, STORE_HEAD, STORE_REGION } from '../../../tools/instruments/traced-text.ts';
import { derived } from './derived.ts';
import { gpuWithDevices } from './derived-gpu.ts';

/** Most bindings of a kernel, and words of the owners' buffer. */
const MOST_BINDINGS = 10;
const WORDS = STORE_HEAD + MOST_BINDINGS * STORE_REGION;
/** Dispatches with distinct ids, and most dispatches of a pass. */
const DISPATCHES = 1 << 12;
const MOST_OF_PASS = 1 << 10;
const SLOT = 256;

/** Stores of two invocations of a dispatch to the same element of a binding. */
export interface SharedStores {
  /** Kernel, binding and function of each place, once. */
  places: string[];
  /** Stores that were not checked, since their elements are beyond the recorded ones. */
  beyond: number;
}

/**
 * The software adapter with kernels that record which invocation stores to which element: a vector, a word, a struct.
 * `found` returns the shared stores so far of all its devices.
 */
export function watchedStores(): { gpu: GPU; found: () => Promise<SharedStores>; kernels: ReadonlySet<string> } {
  /** By the hash of a kernel's text. */
  const texts = new Map<number, { kernel: string; sites: readonly AccessSite[] }>();
  const kernels = new Set<string>();
  const readers: (() => Promise<Uint32Array>)[] = [];
  const gpu = gpuWithDevices(async (gpuAdapter, descriptor) => {
    const device = await gpuAdapter.requestDevice({
      ...descriptor,
      requiredLimits: { ...descriptor?.requiredLimits, maxBindGroups: 4 },
    });
    const { STORAGE, UNIFORM, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
    const owners = device.createBuffer({ size: WORDS * 4, usage: STORAGE | COPY_SRC | COPY_DST });
    const ids = device.createBuffer({ size: DISPATCHES * SLOT, usage: UNIFORM | COPY_DST });
    const numbers = new Uint32Array((DISPATCHES * SLOT) / 4);
    for (let i = 0; i < DISPATCHES; i++) numbers[(i * SLOT) / 4] = i;
    device.queue.writeBuffer(ids, 0, numbers);
    const [visibility, hasDynamicOffset] = [GPUShaderStage.COMPUTE, true];
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: 'uniform', hasDynamicOffset } },
        { binding: 1, visibility, buffer: { type: 'storage' } },
      ],
    });
    const group = device.createBindGroup({
      layout,
      entries: [
        { binding: 0, resource: { buffer: ids, size: 4 } },
        { binding: 1, resource: { buffer: owners } },
      ],
    });
    let dispatches = 0; // owners hold 0 at first
    readers.push(async () => {
      const result = device.createBuffer({ size: STORE_HEAD * 4, usage: COPY_DST | MAP_READ });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(owners, 0, result, 0, STORE_HEAD * 4);
      device.queue.submit([encoder.finish()]);
      await result.mapAsync(GPUMapMode.READ);
      return new Uint32Array(result.getMappedRange().slice(0));
    });
    return derived(device, {
      createShaderModule: ({ label = '', code }) => {
        if (!code.includes('struct Params') && !/^const /m.test(code))
          return device.createShaderModule({ label, code });
        const owned = ownedText(code);
        texts.set(owned.hash, { kernel: label, sites: owned.sites });
        kernels.add(label);
        return device.createShaderModule({ label, code: owned.code });
      },
      createPipelineLayout: ({ bindGroupLayouts, ...rest }) => {
        const [storage = null, params = null] = bindGroupLayouts; // parameters may be immediates
        return device.createPipelineLayout({ ...rest, bindGroupLayouts: [storage, params, layout] });
      },
      createCommandEncoder: (options) => {
        const encoder = device.createCommandEncoder(options);
        return derived(encoder, {
          beginComputePass: (pass) => {
            if (dispatches + MOST_OF_PASS > DISPATCHES) {
              encoder.clearBuffer(owners, STORE_HEAD * 4);
              dispatches = 0;
            }
            const own = encoder.beginComputePass(pass);
            return derived(own, {
              dispatchWorkgroups: (...groups) => {
                if (++dispatches === DISPATCHES) throw new Error('too many dispatches of a pass');
                own.setBindGroup(2, group, [dispatches * SLOT]);
                own.dispatchWorkgroups(...groups);
              },
            });
          },
        });
      },
    });
  });
  const found = async (): Promise<SharedStores> => {
    const places = new Set<string>();
    let beyond = 0;
    for (const read of readers) {
      const words = await read();
      const count = Math.min(words[0] ?? 0, 30);
      beyond += words[1] ?? 0;
      for (let i = 0; i < count; i++) {
        const text = texts.get(words[2 + 2 * i] ?? 0);
        const site = text?.sites[words[3 + 2 * i] ?? 0];
        places.add(`${text?.kernel}: ${site?.binding} (${site?.within})`);
      }
    }
    return { places: [...places].sort(), beyond };
  };
  return { gpu, found, kernels };
}
