import { formatBytes } from '../basics/format.ts';

/** What this device has for a model; undefined where the browser does not tell. */
export interface DeviceRoom {
  storageBytes: number | undefined;
  /** Of the system, rounded by the browser and at most 8 or 32 GiB. */
  memoryBytes: number | undefined;
  /** `software`: the processor stands in for one. */
  gpu: 'real' | 'software' | 'none';
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
export const GIB = 2 ** 30;
/** Memory of a device whose browser does not tell: it may be a telephone, whose pages end where they take too much. */
export const UNTOLD_GIB = 2;
/** Times its file: what a model takes at most with the cache of a full context; of the page's list the smallest takes 1.96. */
const MOST_OF_FILE = 2;

export async function deviceRoom(): Promise<DeviceRoom> {
  const { gpu, deviceMemory } = navigator as { gpu?: GPU; deviceMemory?: number };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const { quota, usage = 0 } = await storageEstimate();
  return {
    storageBytes: quota === undefined ? undefined : quota - usage,
    memoryBytes: deviceMemory === undefined ? undefined : deviceMemory * GIB,
    gpu: adapter ? kindOf(adapter.info) : 'none',
  };
}

const kindOf = ({ isFallbackAdapter, architecture, device, description }: GPUAdapterInfo): DeviceRoom['gpu'] =>
  isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|software/i.test(`${architecture} ${device} ${description}`)
    ? 'software'
    : 'real';

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
export function fitOf(size: ModelSize, { storageBytes, memoryBytes, gpu }: DeviceRoom): Fit {
  if (gpu === 'none') return 'no-gpu';
  if (memoryBytes !== undefined && neededBytes(size) > MEMORY_SHARE * memoryBytes) return 'memory';
  if (storageBytes !== undefined && size.bytes > storageBytes) return 'storage';
  return memoryBytes === undefined ? 'untold' : 'fits';
}

/** Memory of the device in GiB; undefined where the browser does not tell. */
export const toldMemory = (): number | undefined => (navigator as { deviceMemory?: number }).deviceMemory;

/** Whether the model of a file of `bytes` can be opened while others have their GPU memory. `deviceMemory`: in GiB, as told. */
export function hasRoomBeside(bytes: number, others: readonly { total: number }[], deviceMemory = UNTOLD_GIB): boolean {
  const taken = others.reduce((sum, { total }) => sum + total, 0);
  return taken + MOST_OF_FILE * bytes <= MEMORY_SHARE * deviceMemory * GIB;
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
