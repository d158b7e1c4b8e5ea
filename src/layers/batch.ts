import type { AdapterArena } from '../adapters/adapter-arena.ts';
import type { LinearName } from '../architectures/linears.ts';
import { MAX_SEQUENCES } from '../config/limits.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { EntryMeasure } from '../kernels/pages.ts';

/** The adapters of a batch. The arena's rows say which adapters each token uses, at which rank levels. */
export interface LoraBatch {
  arena: AdapterArena;
  /** Adapters of the largest mix, which is the number of rows of each token. */
  adapters: number;
  /** Highest rank among them. */
  rank: number;
}

/** An unfused adapter of a batch. The outputs of several are summed. */
export interface ActiveLora {
  layers: readonly Partial<Record<LinearName, PlainProduct>>[];
  /** The request's scale; the factors contain the adapter's own. */
  scale: number;
}

/** y += scale · B · (A · x) of one linear. */
export interface PlainProduct {
  record(recorder: Dispatcher, batch: BatchShape, scale: number): void;
}

/** The part of a batch that linears need. */
export interface BatchShape {
  /** `prefill`: consecutive tokens of one sequence or several. `decode`: at most FEW_TOKENS tokens of any sequences, such as the next token of each. */
  kind: 'prefill' | 'decode';
  tokens: number;
  /** Fused adapters, if any. */
  lora?: LoraBatch | undefined;
}

/** Consecutive tokens of a batch that belong to one sequence: `tokens` from `first` on. */
export interface Run {
  first: number;
  tokens: number;
}

/** `pages` pages from entry `page` of the page table on, and what the batch measures of their entries. */
export interface MeasuredPages {
  page: number;
  pages: number;
  measure: EntryMeasure;
  /** The first measured query: its index in the batch. */
  firstQuery: number;
  /** Otherwise what an earlier batch found counts too. */
  isFirst: boolean;
}

/** Tokens that one forward pass computes. `batchTable` on the GPU maps each to its sequence and position. */
export interface Batch extends BatchShape {
  /** Tokens of the longest sequence, this batch included. */
  length: number;
  /** Each token belongs to another sequence (decode). */
  onePerSequence: boolean;
  /** Consecutive tokens of each sequence, in order; default: all tokens are consecutive tokens of one. Delta nets allow one run only. */
  runs?: readonly Run[] | undefined;
  /** All pages of the batch's sequences are in f16. */
  allF16: boolean;
  /** Adapters that run unfused, as two linears after the base's; default: none. */
  unfusedLoras?: readonly ActiveLora[] | undefined;
  /** Models with delta nets: tokens that the GPU replays after the recurrent state it resumes from, maximum over the sequences; default: 0. */
  tokensPastState?: number | undefined;
  /** Stores each token's hidden state for the draft head. */
  keepsHiddenStates?: boolean | undefined;
  /** Pages whose entries are measured; prefill of one sequence only. */
  measured?: MeasuredPages | undefined;
  /** Hook on the input `[T, inFeatures]` of linears, called once it is computed; prefill only. */
  onLinearInput?: ((layer: number, linears: readonly LinearName[], x: GPUBuffer) => void) | undefined;
}

/** A token's entry in `batchTable [T]`: a vec4u. */
export interface BatchToken {
  /** Index of its id in `tokens`. */
  place: number;
  position: number;
  /** First entry of its sequence in the page table. */
  firstPage: number;
  /** Its page, counted from `firstPage`. */
  page: number;
}

/** Index in `tokens` of a prefill's first id. The entries before it hold the next token of each sequence slot. */
export const FIRST_PREFILL_TOKEN = MAX_SEQUENCES;

const WORDS = 4;

/** The contents of `batchTable`. */
export function batchTable(tokens: readonly BatchToken[]): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(tokens.length * WORDS);
  tokens.forEach(({ place, position, firstPage, page }, i) => table.set([place, position, firstPage, page], i * WORDS));
  return table;
}

/** Bytes of `tokens` and of `batchTable`. */
export const batchBytes = (batchTokens: number) => ({
  tokens: (FIRST_PREFILL_TOKEN + batchTokens) * 4,
  batchTable: batchTokens * WORDS * 4,
});
