import type { Family, IsaFigures } from '../../tools/instruments/isa.ts';

/**
 * Kernels that do not keep to the bars of tools/instruments/bars.ts yet, with the figures that they must not get worse
 * than. Whoever brings one within the bars takes it out here.
 */
export const ISA_EXCEPTIONS: Readonly<Record<string, Partial<Record<Family, Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>>>>> = {
  // Queries that share a page against waves: the autotuner times 1, 2 and 4 vectors of outputs an invocation; with 1 it has 4 waves.
  'attention-prefill': { renoir: { spilled: 0, scratch: 0, waves: 2 } },
  'linear-shared': { renoir: { spilled: 0, scratch: 0, waves: 3 } },
};

/** By kernel, binding and function: sectors fetched over sectors needed. */
export const SECTOR_EXCEPTIONS: Readonly<Record<string, number>> = {
  // A lane reads 16 bytes of a row; the next column block's load takes the sector's other half from the cache.
  'linear-tiled: weight (codes)': 2,
  'linear-tiled: weight_scales (scales)': 2,
  'linear-shared: weight (codes)': 2,
};
