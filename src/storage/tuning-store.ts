import { createStore, get, set } from 'idb-keyval';
import type { TuningStore } from '../gpu/autotuner.ts';

const choices = createStore('chunkwise-tuning', 'choices');
/** Another browser, or another version of it, compiles otherwise. */
const ofBrowser = (key: string): string => `${key}, ${navigator.userAgent}`;

/** What the autotuner found on this device, for all models and visits. Where a browser allows no database both reject. */
export const tuningStore: TuningStore = {
  get: async (key) => get<unknown>(ofBrowser(key), choices),
  set: async (key, chosen) => set(ofBrowser(key), chosen, choices),
};
