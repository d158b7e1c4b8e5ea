import { create, globals } from 'webgpu';
import type { Wait } from '../src/gpu/wait.ts';

declare global {
  var dawn: GPU | undefined;
}

/** WebGPU in Node. `adapterName`: part of the wanted adapter's name. The object must outlive every device of it. */
export function nodeGpu(adapterName?: string): GPU {
  Object.assign(globalThis, globals);
  return (globalThis.dawn ??= create(adapterName === undefined ? [] : [`adapter=${adapterName}`]));
}

const NAP_MS = 0.3;
const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Awaiting in Node polls without pause and takes a core from a software adapter; napping between polls gives it back. */
export const napping: Wait = async (work) => {
  let settled = false;
  const settle = () => (settled = true);
  work.then(settle, settle);
  while (!settled) {
    Atomics.wait(nobody, 0, 0, NAP_MS);
    await new Promise(setImmediate);
  }
  return work;
};
