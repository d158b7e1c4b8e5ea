/** What GPU memory is spent on. */
export type MemoryCategory = 'weights' | 'adapters' | 'kv' | 'activations' | 'staging';

/** Live GPUBuffer bytes by category; `total` is their sum. */
export type MemoryReport = Record<MemoryCategory | 'total', number>;

/** What several devices hold. */
export function addMemory(...reports: readonly MemoryReport[]): MemoryReport {
  const sum: MemoryReport = { weights: 0, adapters: 0, kv: 0, activations: 0, staging: 0, total: 0 };
  for (const report of reports)
    for (const category of Object.keys(sum) as (keyof MemoryReport)[]) sum[category] += report[category];
  return sum;
}
