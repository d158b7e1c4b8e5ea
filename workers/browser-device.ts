import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** GiB that a page can use on an iPhone or iPad: WebKit ends its process at 1.5 GB (WebKit #49472) and does not report memory. */
export const APPLE_PHONE_GIB = 1.4;

/** A page's navigator. A worker's has no touch points. */
export interface PageNavigator {
  readonly userAgent: string;
  readonly maxTouchPoints?: number;
}

/** Whether this is an iPhone or iPad. An iPad's user agent may name a Macintosh, but no Mac has a touch screen. */
export const isApplePhone = ({ userAgent, maxTouchPoints = 0 }: PageNavigator): boolean =>
  /\b(iPhone|iPad|iPod)\b/.test(userAgent) || (/\bMacintosh\b/.test(userAgent) && maxTouchPoints > 1);

/** Share of a device's memory for a model chosen among several files, and the memory assumed if unknown. */
const MODEL_SHARE = 0.25;
const DEFAULT_MEMORY_GIB = 4;

/** Maximum bytes of a model that is chosen among several files. */
export const modelBudget = (memoryGib: number | undefined): number =>
  (memoryGib ?? DEFAULT_MEMORY_GIB) * MODEL_SHARE * 2 ** 30;

/** Returns the WebGPU of this page or worker. Throws `no_webgpu`. */
export function browserGpu(): GPU {
  const gpu = navigator.gpu as GPU | undefined;
  if (gpu) return gpu;
  const reason = isSecureContext ? 'this browser has no WebGPU' : 'WebGPU needs a secure page: https, or localhost';
  throw new ChunkwiseError('no_webgpu', { reason });
}
