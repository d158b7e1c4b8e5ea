import type { ActiveLora } from '../layers/lora.ts';

/** The adapters of a request, on this session's device. */
export interface AdapterMix {
  loras: readonly ActiveLora[];
  /** The same for mixes that compute the same. */
  key: string;
}

export const NO_ADAPTERS: AdapterMix = { loras: [], key: '' };
