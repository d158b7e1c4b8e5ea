/** What this device has for a model; undefined where the browser does not tell. */
export interface DeviceRoom {
  storageBytes: number | undefined;
  /** Of the system, rounded by the browser and at most 8 or 32 GiB. */
  memoryBytes: number | undefined;
  hasGpu: boolean;
}

export type Fit = 'fits' | 'memory' | 'storage' | 'no-gpu';

/** Share of the memory that weights may take: the rest is the cache's, the browser's and other programs'. */
const MEMORY_SHARE = 0.4;
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

/** Whether a model of this size can be kept and run here, as far as can be told before its header is read. */
export function fitOf(bytes: number, { storageBytes, memoryBytes, hasGpu }: DeviceRoom): Fit {
  if (!hasGpu) return 'no-gpu';
  if (memoryBytes !== undefined && bytes > MEMORY_SHARE * memoryBytes) return 'memory';
  return storageBytes !== undefined && bytes > storageBytes ? 'storage' : 'fits';
}
