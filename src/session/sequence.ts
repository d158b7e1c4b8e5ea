import type { AdaptedText } from './adapted-text.ts';
import { type AdapterMix, FULL_ROW, NO_ADAPTERS } from './adapter-mix.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { CachePage, PageTrial } from '../cache/cache-page.ts';
import { LayerErrors } from '../cache/layer-errors.ts';
import { kvBytes } from '../cache/kv-report.ts';
import { type KvCache, pagesFor } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';

/** A text, and the pages that the keys and values of its tokens are in. */
export interface Sequence {
  tokens: number[];
  /** Pages at the beginning that are never given up: what every token attends to, and what the system says. */
  keptPages: number;
  /** Tokens behind those of the kept pages that were given up (context shift): what follows them stands that much nearer. */
  dropped: number;
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
  /** What trials of its pages found. */
  probed: LayerErrors;
  /** Pages of it that are being tried in other forms. */
  trial: PageTrial | undefined;
  /** Most bytes its pages had during the request. */
  peakKvBytes: number;
  /** Pages stay in f16 beside the form they take, to tell the true error. */
  shadows: boolean;
  /** The memory budget had its way with its pages against the error budget. */
  memoryOverrode: boolean;
  /** Tokens that were in the cache when the request began. */
  reused: number;
  /** Of the stream that computes it. */
  slot: number;
}

export function newSequence(adapters: AdapterMix = NO_ADAPTERS, slot = 0, policy = DENSE): Sequence {
  const text = { tokens: [], keptPages: 1, dropped: 0, pages: [], rows: [], text: undefined };
  return { ...text, adapters, decodeRow: FULL_ROW, policy, probed: new LayerErrors(), trial: undefined, peakKvBytes: 0, memoryOverrode: false, shadows: false, reused: 0, slot };
}

/** Where the token at `position` of the text stands in the cache. */
export const placeOf = ({ dropped }: Sequence, position: number): number => position - dropped;

/** Tokens whose keys and values are in the cache. */
export const heldTokens = (sequence: Sequence): number => placeOf(sequence, sequence.tokens.length);

/** From here on the tokens of `sequence` are those of `text`. */
export function attach(sequence: Sequence, text: AdaptedText): void {
  sequence.adapters = text.mix;
  sequence.decodeRow = text.decodeRow;
  sequence.text = text;
}

/** Never gives up its first `tokens` tokens, nor the first page, as far as half a context goes. */
export function keep(sequence: Sequence, tokens: number, contextLength: number): void {
  if (sequence.dropped > 0) return; // what stands behind them is gone
  const most = Math.floor(pagesFor(contextLength) / 2);
  sequence.keptPages = Math.max(1, Math.min(pagesFor(tokens), most));
}

/** The sequences of finished requests: the next one that begins like one of them goes on from there. */
export class SequenceCache {
  readonly #idle: Sequence[] = [];
  /** Those that are being computed. */
  readonly #running = new Set<Sequence>();

  constructor(private readonly cache: KvCache) {}

  /** Frees pages until `count` are free, or no sequence is left, at the cost of those longest unused. */
  makeRoom(count: number): void {
    while (this.cache.freePages < count && this.#idle.length > 0) this.cache.resize(this.#idle.shift()?.pages ?? [], 0);
  }

  /** Those of finished requests, least recently used first. */
  get idle(): readonly Sequence[] {
    return this.#idle;
  }

  /**
   * The sequence whose adapters have this key, and whose pages have this policy, that shares the longest beginning with
   * `prompt`, cut to it; at least one token is left to compute. `isFurther`: one more answer to a request: it may begin
   * with copies of what another answer has computed.
   */
  take(prompt: readonly number[], key = NO_ADAPTERS.key, slot = 0, policy = DENSE, isFurther = false): Sequence {
    const sequence = this.#take(prompt, key, slot, policy, isFurther);
    this.#running.add(sequence);
    return sequence;
  }

  #take(prompt: readonly number[], key: string, slot: number, policy: CachePolicy, isFurther: boolean): Sequence {
    let best: Sequence | undefined;
    let shared = 0;
    for (const sequence of this.#idle) {
      if (sequence.adapters.key !== key || sequence.policy.key !== policy.key) continue;
      const length = reusable(sequence, Math.min(commonPrefix(sequence.tokens, prompt), prompt.length - 1));
      if (length > shared) [best, shared] = [sequence, length];
    }
    const copied = isFurther && this.#copyOfRunning(prompt, key, slot, policy, shared);
    if (copied) return copied;
    if (!best) return newSequence(NO_ADAPTERS, slot, policy);
    this.#idle.splice(this.#idle.indexOf(best), 1);
    best.slot = slot;
    best.policy = policy; // a saved sequence has but its key
    best.reused = shared;
    best.peakKvBytes = 0;
    best.memoryOverrode = false;
    if (shared < droppedEnd(best)) best.dropped = 0;
    best.tokens.length = shared;
    best.rows.length = Math.min(best.rows.length, shared);
    this.cache.resize(best.pages, heldTokens(best));
    return best;
  }

  /**
   * A sequence that begins with copies of whole pages of one that is being computed, where they hold more than `least`
   * tokens of `prompt`: of a dense one, whose pages stay as they are. The step of its last token may not be submitted yet.
   */
  #copyOfRunning(prompt: readonly number[], key: string, slot: number, policy: CachePolicy, least: number): Sequence | undefined {
    if (policy.key !== DENSE.key) return undefined;
    for (const { adapters, tokens, pages, rows, policy: own } of this.#running) {
      if (adapters.key !== key || own.key !== policy.key) continue;
      const length = Math.min(commonPrefix(tokens, prompt), tokens.length - 1, prompt.length - 1);
      const shared = length - (length % PAGE_TOKENS);
      if (shared <= least) continue;
      const copies = this.cache.copyOf(pages.slice(0, shared / PAGE_TOKENS));
      if (!copies) return undefined;
      const sequence = { ...newSequence(NO_ADAPTERS, slot, policy), tokens: tokens.slice(0, shared), pages: copies };
      return { ...sequence, rows: rows.slice(0, shared), reused: shared };
    }
    return undefined;
  }

  giveBack(sequence: Sequence): void {
    this.#running.delete(sequence);
    sequence.text = undefined;
    this.cache.resize(sequence.pages, heldTokens(sequence));
    if (sequence.tokens.length > 0) this.#idle.push(sequence);
  }

  /** Gives `sequence` pages up to its `length`-th token, at the cost of the sequences longest unused. */
  reserve(sequence: Sequence, length: number): void {
    const tokens = placeOf(sequence, length);
    this.cache.probes.use(sequence.slot);
    while (!this.cache.resize(sequence.pages, tokens)) {
      const oldest = this.#idle.shift();
      if (!oldest) {
        const reason = `${tokens} tokens need more than the cache's ${this.cache.numPages} pages`;
        throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
      }
      this.cache.resize(oldest.pages, 0);
    }
    sequence.peakKvBytes = Math.max(sequence.peakKvBytes, kvBytes(sequence.pages));
  }
}

/** The position behind the last token that was given up. */
const droppedEnd = ({ keptPages, dropped }: Sequence): number => keptPages * PAGE_TOKENS + dropped;

/** Where tokens can be added at or before `length`: where tokens were given up behind them, or in the kept pages. */
function reusable(sequence: Sequence, length: number): number {
  const { pages, dropped, keptPages } = sequence;
  const end = writableEnd(pages, placeOf(sequence, length)) + dropped;
  if (dropped === 0 || end >= droppedEnd(sequence)) return end;
  return writableEnd(pages, Math.min(length, keptPages * PAGE_TOKENS));
}

/** Where tokens can be added at or before `length`: within a page only while all of it is in f16. */
function writableEnd(pages: readonly CachePage[], length: number): number {
  const page = pages[Math.floor(length / PAGE_TOKENS)];
  return !page || page.layers.every(({ form }) => form === 'f16') ? length : page.base;
}

/** How many of their first tokens two texts share. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
