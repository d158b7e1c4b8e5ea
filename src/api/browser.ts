import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { startWorker } from './browser-thread.ts';
import { pageUrl } from './options.ts';
import type { Platform } from './platform.ts';

/** However much there is, no more is told, at least by some browsers. */
const MOST_TOLD_GIB = 8;

/** A page. */
export const BROWSER: Platform = {
  toUrl: pageUrl,

  // Asked of the page alone; workers have no such method. What is not granted is still stored.
  persist: () => void globalThis.navigator.storage?.persist?.().catch(() => false),

  startEngine: startWorker,

  async gpu() {
    const gpu = navigator.gpu as GPU | undefined;
    if (gpu) return gpu;
    const reason = isSecureContext ? 'this browser has none' : 'WebGPU needs a secure page: https, or localhost';
    throw new ChunkwiseError('no_webgpu', { reason });
  },

  memory() {
    const { deviceMemory: gib } = navigator as { deviceMemory?: number };
    return gib === undefined ? undefined : { gib, isAll: gib < MOST_TOLD_GIB };
  },

  localBytes: () => undefined,
};
