import type { Family, IsaFigures } from '../../tools/instruments/isa.ts';

/**
 * Kernels that do not keep to the bars of tools/instruments/bars.ts yet, with the figures that they must not get worse
 * than. Whoever brings one within the bars takes it out here.
 */
export const ISA_EXCEPTIONS: Readonly<
  Record<string, Partial<Record<Family, Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>>>>
> = {};

/** By kernel, binding and function: sectors fetched over sectors needed. */
export const SECTOR_EXCEPTIONS: Readonly<Record<string, number>> = {
  // Of 576 columns eight lanes share a row: of its scales they ask for 8 bytes, the next time for those behind.
  'linear-shared: weight_scales (run_scales)': 4.5,
};
