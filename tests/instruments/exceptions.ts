import type { Family, IsaFigures } from '../../tools/instruments/isa.ts';

/**
 * Kernels that do not keep to the bars of tools/instruments/bars.ts yet, with the figures that they must not get worse
 * than. Whoever brings one within the bars takes it out here.
 */
export const ISA_EXCEPTIONS: Readonly<Record<string, Partial<Record<Family, Pick<IsaFigures, 'spilled' | 'scratch' | 'waves'>>>>> = {
  'linear-prefill': { navi31: { spilled: 211, scratch: 10_752, waves: 5 }, renoir: { spilled: 259, scratch: 21_504, waves: 1 } },
  'linear-decode': { navi31: { spilled: 0, scratch: 0, waves: 7 }, renoir: { spilled: 0, scratch: 0, waves: 1 } },
  attention: { navi31: { spilled: 0, scratch: 16_384, waves: 6 }, renoir: { spilled: 0, scratch: 32_768, waves: 1 } },
};

/** By kernel, binding and function: sectors fetched over sectors needed. */
export const SECTOR_EXCEPTIONS: Readonly<Record<string, number>> = {
  'linear-prefill: weight (codes)': 2,
  'linear-prefill: weight_scales (scales)': 2,
  'linear-decode: x (input)': 2,
  'linear-decode: x (square)': 2,
  'linear-decode: norm_weight (input)': 2,
  'linear-decode: weight (codes)': 2,
  'attention: kv (half_key)': 4,
  'attention: kv (half_value)': 4,
  'attention: qkv (turned)': 2,
};
