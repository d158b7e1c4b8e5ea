import type { ActiveLora } from './lora.ts';

/** Tokens computed in one submission: they stand at `position`, `position + 1`, … of one sequence. */
export interface Batch {
  tokens: number;
  position: number;
  /** Adapters that take part. */
  loras: readonly ActiveLora[];
}
