import { MAX_STREAMS } from '../config/max-streams.ts';
import type { ActiveLora } from './lora.ts';

/** Tokens computed in one submission. Where each belongs stands in `batchTable` on the GPU. */
export interface Batch {
  /** Consecutive tokens of one sequence, or the next token of each of at most MAX_STREAMS sequences. */
  kind: 'prefill' | 'decode';
  tokens: number;
  /** Of the longest sequence with its tokens of this batch. */
  length: number;
  /** Adapters that take part. */
  loras: readonly ActiveLora[];
}

/** A token of a batch, as kernels find it in `batchTable [T]`: a vec4u of these three and 0. */
export interface BatchToken {
  /** Of its id in `tokens`. */
  place: number;
  position: number;
  /** First entry of its sequence in the page table. */
  firstPage: number;
}

/** Where a prefill's ids begin in `tokens`; before them each stream has a place for its next token. */
export const FIRST_PREFILL_TOKEN = MAX_STREAMS;

const WORDS = 4;

/** The contents of `batchTable`. */
export function batchTable(tokens: readonly BatchToken[]): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(tokens.length * WORDS);
  tokens.forEach(({ place, position, firstPage }, i) => table.set([place, position, firstPage], i * WORDS));
  return table;
}

/** Bytes of `tokens` and of `batchTable`. */
export const batchBytes = (batchTokens: number) => ({
  tokens: (FIRST_PREFILL_TOKEN + batchTokens) * 4,
  batchTable: batchTokens * WORDS * 4,
});
