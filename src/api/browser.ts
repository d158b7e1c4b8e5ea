import { APPLE_PHONE_GIB, isApplePhone } from '../../workers/apple-phones.ts';
import { browserGpu } from '../../workers/browser-gpu.ts';
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

  gpu: async () => browserGpu(),

  memory() {
    const { deviceMemory: gib } = navigator as { deviceMemory?: number };
    if (gib !== undefined) return { gib, isAll: gib < MOST_TOLD_GIB };
    return isApplePhone(navigator) ? { gib: APPLE_PHONE_GIB, isAll: false } : undefined;
  },

  localBytes: () => undefined,
};
