import type { TuningStore } from '../../src/gpu/autotuner.ts';

/** Whether what is kept under a key is the self-check's, and not a choice of the autotuner. */
export const isOfSelfCheck = (key: string): boolean => key.includes(': right');

/** Keeps in memory what was found on a device: what it holds can be damaged. */
export class MemoryTuning implements TuningStore {
  readonly known = new Map<string, unknown>();
  /** Choices of the autotuner that were made: not those that were kept. */
  made = 0;

  /** Of the autotuner, by key. */
  get choices(): ReadonlyMap<string, unknown> {
    return new Map([...this.known].filter(([key]) => !isOfSelfCheck(key)));
  }

  async get(key: string): Promise<unknown> {
    return this.known.get(key);
  }

  async set(key: string, value: unknown): Promise<void> {
    if (!isOfSelfCheck(key)) this.made++;
    this.known.set(key, value);
  }
}
