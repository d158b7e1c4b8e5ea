/** What GPU memory is spent on. */
export type MemoryCategory = 'weights' | 'adapters' | 'kv' | 'activations' | 'staging';

/** Live GPUBuffer bytes by category; `total` is their sum. */
export type MemoryReport = Record<MemoryCategory | 'total', number>;
