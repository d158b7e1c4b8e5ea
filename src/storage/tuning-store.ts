import { createStore, get, set } from 'idb-keyval';
import type { TuningStore } from '../gpu/autotuner.ts';

const choices = createStore('chunkwise-tuning', 'choices');
/** Another browser, or another version of it, compiles otherwise. */
const ofBrowser = (key: string): string => `${key}, ${navigator.userAgent}`;

/** What the autotuner found on this device, for all models and visits. */
export const tuningStore: TuningStore = {
  get: (key) => get<unknown>(ofBrowser(key), choices),
  set: (key, chosen) => set(ofBrowser(key), chosen, choices),
};
