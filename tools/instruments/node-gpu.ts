import { create, globals } from 'webgpu';
import { gpuOf } from '../../src/node/gpu.ts';

export { napping } from '../../src/node/gpu.ts';

/** WebGPU in Node, from the installed package. */
export const nodeGpu = (): GPU => gpuOf({ create, globals });
