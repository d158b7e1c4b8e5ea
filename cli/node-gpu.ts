import { create, globals } from 'webgpu';
import { gpuOf } from '../src/node/gpu.ts';

export { napping } from '../src/node/gpu.ts';

/** WebGPU in Node, from the installed package. `adapterName`: part of the wanted adapter's name. */
export const nodeGpu = (adapterName?: string): GPU => gpuOf({ create, globals }, adapterName);
