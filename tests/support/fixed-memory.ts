import type { MemoryReport } from '../../src/config/memory-report.ts';

/** What does not change with the tokens in the cache. */
export const fixedMemory = ({ weights, adapters, activations, staging }: MemoryReport) => ({
  weights,
  adapters,
  activations,
  staging,
});
