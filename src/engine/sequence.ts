import type { AdaptedText } from './adapted-text.ts';
import { type AdapterMix, FULL_ROW, NO_ADAPTERS } from './adapter-mix.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { CachePage, PageTrial } from '../cache/cache-page.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';

/** Tokens whose keys and values are in the cache, and the pages they are in. */
export interface Sequence {
  tokens: number[];
  pages: CachePage[];
  /** The adapters they were computed with; only a request with the same ones goes on from there. */
  adapters: AdapterMix;
  /** What each token takes of the adapters, by position; where nothing is said, it is `decodeRow`. */
  rows: (RampRow | undefined)[];
  decodeRow: RampRow | 'stream';
  /** Gives the rows of the tokens that are prefilled. */
  text: AdaptedText | undefined;
  /** Decides in which form its pages lie. */
  policy: CachePolicy;
  /** Pages of it that are being tried in other forms. */
  trial: PageTrial | undefined;
  /** Most bytes its pages had at the beginning of a batch of the request. */
  peakKvBytes: number;
  /** Tokens that were in the cache when the request began. */
  reused: number;
  /** Of the stream that computes it. */
  slot: number;
}

export function newSequence(adapters: AdapterMix = NO_ADAPTERS, slot = 0, policy = DENSE): Sequence {
  return { tokens: [], pages: [], adapters, rows: [], decodeRow: FULL_ROW, text: undefined, policy, trial: undefined, peakKvBytes: 0, reused: 0, slot };
}

/** From here on the tokens of `sequence` are those of `text`. */
export function attach(sequence: Sequence, text: AdaptedText): void {
  sequence.adapters = text.mix;
  sequence.decodeRow = text.decodeRow;
  sequence.text = text;
}

/** The sequences of finished requests: the next one that begins like one of them goes on from there. */
export class SequenceCache {
  /** Least recently used first. */
  readonly #idle: Sequence[] = [];

  constructor(private readonly cache: KvCache) {}

  /** The one used last. */
  get latest(): Sequence | undefined {
    return this.#idle.at(-1);
  }

  /** Frees pages until `count` are free, or no sequence is left, at the cost of those longest unused. */
  makeRoom(count: number): void {
    while (this.cache.freePages < count && this.#idle.length > 0) this.cache.resize(this.#idle.shift()?.pages ?? [], 0);
  }

  /**
   * The sequence whose adapters have this key, and whose pages have this policy, that shares the longest beginning with
   * `prompt`, cut to it; at least one token is left to compute.
   */
  take(prompt: readonly number[], key = NO_ADAPTERS.key, slot = 0, policy = DENSE): Sequence {
    let best: Sequence | undefined;
    let shared = 0;
    for (const sequence of this.#idle) {
      if (sequence.adapters.key !== key || sequence.policy.key !== policy.key) continue;
      const length = writableEnd(sequence.pages, Math.min(commonPrefix(sequence.tokens, prompt), prompt.length - 1));
      if (length > shared) [best, shared] = [sequence, length];
    }
    if (!best) return newSequence(NO_ADAPTERS, slot, policy);
    this.#idle.splice(this.#idle.indexOf(best), 1);
    best.slot = slot;
    best.policy = policy; // a saved sequence has but its key
    best.reused = shared;
    best.peakKvBytes = 0;
    best.tokens.length = shared;
    best.rows.length = Math.min(best.rows.length, shared);
    this.cache.resize(best.pages, shared);
    return best;
  }

  giveBack(sequence: Sequence): void {
    sequence.text = undefined;
    this.cache.resize(sequence.pages, sequence.tokens.length);
    if (sequence.tokens.length > 0) this.#idle.push(sequence);
  }

  /** Gives `sequence` pages for `tokens` tokens, at the cost of the sequences longest unused. */
  reserve(sequence: Sequence, tokens: number): void {
    while (!this.cache.resize(sequence.pages, tokens)) {
      const oldest = this.#idle.shift();
      if (!oldest) {
        const reason = `${tokens} tokens need more than the cache's ${this.cache.numPages} pages`;
        throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
      }
      this.cache.resize(oldest.pages, 0);
    }
  }
}

/** Where tokens can be added at or before `length`: within a page only while all of it is in f16. */
function writableEnd(pages: readonly CachePage[], length: number): number {
  const page = pages[Math.floor(length / PAGE_TOKENS)];
  return !page || page.layers.every(({ form }) => form === 'f16') ? length : page.base;
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
