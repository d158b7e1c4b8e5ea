import type { Family, IsaFigures } from '../../tools/instruments/isa.ts';

/**
 * Kernels that miss the bars of tools/instruments/bars.ts, with the figures that they must not exceed. Remove a kernel here once
 * it meets the bars.
 */
export const ISA_EXCEPTIONS: Readonly<
  Record<string, Partial<Record<Family, Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>>>>
> = {};

/** Most fetched sectors over needed sectors, by kernel, binding and function. */
export const SECTOR_EXCEPTIONS: Readonly<Record<string, number>> = {
  // With 576 columns eight lanes share a row: they read 8 bytes of its scales, next time the following 8 bytes.
  'linear-shared: weight_scales (run_scales)': 4.5,
};
