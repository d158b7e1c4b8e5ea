import { formatBytes } from '../basics/format.ts';

/** What this device has for a model; undefined where the browser does not tell. */
export interface DeviceRoom {
  storageBytes: number | undefined;
  /** Of the system, rounded by the browser and at most 8 or 32 GiB. */
  memoryBytes: number | undefined;
  hasGpu: boolean;
}

/** `untold`: as far as the browser tells, which does not tell of its memory. */
export type Fit = 'fits' | 'untold' | 'memory' | 'storage' | 'no-gpu';

/** What a model takes: of its file, and of a token's keys and values. */
export interface ModelSize {
  bytes: number;
  cachePerToken: number;
}

/** Tokens: the engine's default, which the page leaves as it is. */
const CONTEXT = 4096;
/** Share of the memory that a model may take with its cache: the rest is the browser's and other programs'. */
const MEMORY_SHARE = 0.5;
const GIB = 2 ** 30;

export async function deviceRoom(): Promise<DeviceRoom> {
  const { gpu, deviceMemory } = navigator as { gpu?: GPU; deviceMemory?: number };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const { quota, usage = 0 } = await storageEstimate();
  return {
    storageBytes: quota === undefined ? undefined : quota - usage,
    memoryBytes: deviceMemory === undefined ? undefined : deviceMemory * GIB,
    hasGpu: adapter !== undefined && adapter !== null,
  };
}

/** Some windows have no storage to tell of. */
async function storageEstimate(): Promise<StorageEstimate> {
  try {
    return await navigator.storage.estimate();
  } catch {
    return {};
  }
}

/** Weights, and the cache of a full context. */
const neededBytes = ({ bytes, cachePerToken }: ModelSize): number => bytes + CONTEXT * cachePerToken;

/**
 * Whether a model can be kept and run here, as far as can be told before its header is read. The engine judges by the
 * header, and by the GPU's limits: before it downloads weights.
 */
export function fitOf(size: ModelSize, { storageBytes, memoryBytes, hasGpu }: DeviceRoom): Fit {
  if (!hasGpu) return 'no-gpu';
  if (memoryBytes !== undefined && neededBytes(size) > MEMORY_SHARE * memoryBytes) return 'memory';
  if (storageBytes !== undefined && size.bytes > storageBytes) return 'storage';
  return memoryBytes === undefined ? 'untold' : 'fits';
}

/** Whether such a model is offered. */
export const canRun = (fit: Fit): boolean => fit === 'fits' || fit === 'untold';

/** A fit in words. */
export function fitWords(fit: Fit, size: ModelSize, { storageBytes = 0, memoryBytes = 0 }: DeviceRoom): string {
  switch (fit) {
    case 'fits':
      return 'Fits this device';
    case 'untold':
      return 'Fits, as far as the browser tells';
    case 'memory':
      return `Too large: takes ${formatBytes(neededBytes(size))} of memory with its cache, and ${formatBytes(MEMORY_SHARE * memoryBytes)} are for models here`;
    case 'storage':
      return `Too large: the browser may keep ${formatBytes(Math.max(storageBytes, 0))} more`;
    case 'no-gpu':
      return 'Needs WebGPU';
  }
}
