import type { TuningStore } from '../../src/gpu/autotuner.ts';

/** Whether a key belongs to the self-check rather than the autotuner. */
export const isOfSelfCheck = (key: string): boolean => key.includes(': right');

/** Keeps a device's tuning results in memory, where tests can damage them. */
export class MemoryTuning implements TuningStore {
  readonly known = new Map<string, unknown>();
  /** Number of choices that the autotuner measured, without those it reused. */
  made = 0;

  /** The autotuner's choices by key. */
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
