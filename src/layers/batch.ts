import type { AdapterArena } from '../adapters/arena/adapter-arena.ts';
import type { LinearName } from '../architectures/linears.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import type { Dispatcher } from '../gpu/recorder.ts';

/** The adapters of a batch; which, and how much of them each token takes, stands in the arena's rows. */
export interface LoraBatch {
  arena: AdapterArena;
  /** Adapters of the largest mix: rows of each token. */
  adapters: number;
  /** Highest rank among them. */
  rank: number;
}

/** An adapter in its plain form that takes part in a batch. Several are summed. */
export interface ActiveLora {
  layers: readonly Partial<Record<LinearName, PlainProduct>>[];
  /** Of the request; the adapter's own stands in its factors. */
  scale: number;
}

/** y += scale · B · (A · x) of one linear. */
export interface PlainProduct {
  record(recorder: Dispatcher, batch: BatchShape, scale: number): void;
}

/** What a linear has to know of a batch. */
export interface BatchShape {
  /** Consecutive tokens of one sequence; or few tokens of any, such as the next of each stream; at most FEW_TOKENS. */
  kind: 'prefill' | 'decode';
  tokens: number;
  /** Where adapters take part. */
  lora?: LoraBatch | undefined;
}

/** Tokens computed in one submission. Where each belongs stands in `batchTable` on the GPU. */
export interface Batch extends BatchShape {
  /** Of the longest sequence with its tokens of this batch. */
  length: number;
  /** Each token is of another sequence; else they are consecutive tokens of one. */
  apart: boolean;
  /** Most tokens that one of its sequences has come to behind the state that it goes on from, where layers have states. */
  behind: number;
  /** What is known behind its tokens is kept, for a draft head. */
  keepsStates?: boolean;
  /** Every page of its sequences is in f16. */
  halfOnly: boolean;
  /** Shown what linears read `[T, inFeatures]`, once it is computed; a prefill's only. */
  tap?: ((layer: number, linears: readonly LinearName[], x: GPUBuffer) => void) | undefined;
  /** Adapters that take part in their plain form. */
  loras: readonly ActiveLora[];
}

/** A token of a batch, as kernels find it in `batchTable [T]`: a vec4u. */
export interface BatchToken {
  /** Of its id in `tokens`. */
  place: number;
  position: number;
  /** First entry of its sequence in the page table. */
  firstPage: number;
  /** Its own page's entry, counted from there. */
  page: number;
}

/** Where a prefill's ids begin in `tokens`; before them each stream has a place for its next token. */
export const FIRST_PREFILL_TOKEN = MAX_STREAMS;

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
