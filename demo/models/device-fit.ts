import { formatBytes } from '../basics/format.ts';

/** The device's room for a model; undefined if the browser does not say. */
export interface DeviceRoom {
  storageBytes: number | undefined;
  /** System memory, rounded by the browser and at most 8 or 32 GiB. */
  memoryBytes: number | undefined;
  /** `software`: the CPU emulates a GPU. */
  gpu: 'real' | 'software' | 'none';
}

/** `untold`: fits, but the browser does not report memory. */
export type Fit = 'fits' | 'untold' | 'memory' | 'storage' | 'no-gpu';

/** Size of a model: its file, and the keys and values of a token. */
export interface ModelSize {
  bytes: number;
  cachePerToken: number;
}

/** The engine's default context in tokens, which the page uses. */
const CONTEXT = 4096;
/** Share of memory for a model and its cache; the rest is for the browser and other programs. */
const MEMORY_SHARE = 0.5;
export const GIB = 2 ** 30;
/** Assumed memory if the browser does not say: possibly a phone, which ends pages that take too much. */
export const UNTOLD_GIB = 2;
/** Most memory of a model with a full cache, relative to its file; the smallest model of the page's list has 1.96. */
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

/** Some windows report no storage. */
async function storageEstimate(): Promise<StorageEstimate> {
  try {
    return await navigator.storage.estimate();
  } catch {
    return {};
  }
}

/** Bytes of the weights and a full cache. */
const neededBytes = ({ bytes, cachePerToken }: ModelSize): number => bytes + CONTEXT * cachePerToken;

/**
 * Whether a model fits, as far as is known before its header is read. The engine checks the header and the GPU's limits
 * before it downloads weights.
 */
export function fitOf(size: ModelSize, { storageBytes, memoryBytes, gpu }: DeviceRoom): Fit {
  if (gpu === 'none') return 'no-gpu';
  if (memoryBytes !== undefined && neededBytes(size) > MEMORY_SHARE * memoryBytes) return 'memory';
  if (storageBytes !== undefined && size.bytes > storageBytes) return 'storage';
  return memoryBytes === undefined ? 'untold' : 'fits';
}

/** Device memory in GiB; undefined if the browser does not say. */
export const toldMemory = (): number | undefined => (navigator as { deviceMemory?: number }).deviceMemory;

/**
 * Whether a model with a file of `bytes` can open beside others that hold GPU memory. `deviceMemory`: in GiB, as
 * reported.
 */
export function hasRoomBeside(bytes: number, others: readonly { total: number }[], deviceMemory = UNTOLD_GIB): boolean {
  const taken = others.reduce((sum, { total }) => sum + total, 0);
  return taken + MOST_OF_FILE * bytes <= MEMORY_SHARE * deviceMemory * GIB;
}

/** Whether a model with this fit is offered. */
export const canRun = (fit: Fit): boolean => fit === 'fits' || fit === 'untold';

/** A fit in words. */
export function fitWords(fit: Fit, size: ModelSize, { storageBytes = 0, memoryBytes = 0 }: DeviceRoom): string {
  switch (fit) {
    case 'fits':
      return 'Fits this device';
    case 'untold':
      return 'Probably fits: the browser does not report memory';
    case 'memory':
      return `Too large: takes ${formatBytes(neededBytes(size))} of memory with its cache; this device has ${formatBytes(MEMORY_SHARE * memoryBytes)} for models`;
    case 'storage':
      return `Too large: the browser can store only ${formatBytes(Math.max(storageBytes, 0))} more`;
    case 'no-gpu':
      return 'Needs WebGPU';
  }
}
