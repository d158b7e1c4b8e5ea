import { createStore, get, set } from 'idb-keyval';
import type { TuningStore } from '../gpu/autotuner.ts';

const choices = createStore('chunkwise-tuning', 'choices');

/** What the autotuner found on this device, for all models and visits. */
export const tuningStore: TuningStore = {
  get: (key) => get<unknown>(key, choices),
  set: (key, chosen) => set(key, chosen, choices),
};
