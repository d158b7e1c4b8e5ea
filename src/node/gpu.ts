import type * as Dawn from 'webgpu';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Wait } from '../gpu/device.ts';

declare global {
  var dawn: GPU | undefined;
}

/** WebGPU from the package `webgpu`. `adapterName`: part of the wanted adapter's name. */
export function gpuOf({ create, globals }: Pick<typeof Dawn, 'create' | 'globals'>, adapterName?: string): GPU {
  Object.assign(globalThis, globals);
  // It must outlive all its devices.
  return (globalThis.dawn ??= create(adapterName === undefined ? [] : [`adapter=${adapterName}`]));
}

/** Imports `webgpu`, an optional dependency, and opens its GPU. `adapterName`: as in `gpuOf`. Throws `no_webgpu`. */
export async function openGpu(adapterName?: string): Promise<GPU> {
  try {
    // Server bundlers must skip this import: the package loads a binary that they cannot follow.
    return gpuOf(await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ 'webgpu'), adapterName);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const reason = /Cannot find (?:package|module) 'webgpu'/.test(message)
      ? "WebGPU comes to Node with the package 'webgpu', which is not installed: npm install webgpu"
      : `the package 'webgpu' gives no WebGPU here: ${message}`;
    throw new ChunkwiseError('no_webgpu', { reason }, { cause });
  }
}

const NAP_MS = 0.3;
const nobody = new Int32Array(new SharedArrayBuffer(4));

/**
 * Node polls without pause while it awaits GPU work, which takes a core from a software adapter; naps between polls
 * free it.
 */
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
