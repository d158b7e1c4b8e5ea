import type { MemoryReport } from '../../src/gpu/buffers.ts';

/** The parts of the memory report that do not depend on cached tokens. */
export const fixedMemory = ({ weights, adapters, activations, staging }: MemoryReport) => ({
  weights,
  adapters,
  activations,
  staging,
});
