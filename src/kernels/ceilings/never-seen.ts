import source from '../../../shaders/ceilings/never-seen.wgsl?raw';
import type { Kernel } from '../../gpu/kernel.ts';

/** `y`: 64 words. `seed`: a u32 that was not asked for before. */
export const neverSeenKernel = (seed: number): Kernel => ({
  name: 'never-seen',
  sources: [source],
  constants: { SEED: seed, ROUNDS: 64 },
  bindings: [{ name: 'y', type: 'array<u32>', access: 'read_write' }],
  params: {},
  groups: () => [1],
});
