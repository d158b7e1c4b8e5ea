import {
  type AdaptedSpan,
  BASE_SPANS,
  type CachePage,
  LayerLosses,
  type PageProbe,
  type PageTrial,
} from '../cache/cache-page.ts';
import { type AdaptedText, type AdapterMix, FULL_ROW, NO_ADAPTERS } from './adapter-mix.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { RecurrentState } from '../cache/recurrent-states.ts';
import { kvBytes, pagesFor } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';

/** A text, and the cache pages of its tokens. */
export class Sequence {
  tokens: number[] = [];
  pages: CachePage[] = [];
  /** Recurrent states of delta-net layers, at some positions. */
  states: RecurrentState[] = [];
  /** Pages at the start that are never evicted: attention sinks, and the system prompt. */
  keptPages = 1;
  /** Number of tokens evicted after the kept pages (context shift); later tokens move forward by this number. */
  dropped = 0;
  /** Adapters of each part of the text: another request reuses a prefix as far as they agree. */
  spans: readonly AdaptedSpan[] = BASE_SPANS;
  /** Adapter row of each token, by position; default: `decodeRow`. */
  rows: (RampRow | undefined)[] = [];
  decodeRow: RampRow | 'sequence' = FULL_ROW;
  /** Source of the rows of prompt tokens. */
  text: AdaptedText | undefined;
  /** Results of the probes of its pages, and the probe that runs. */
  probed = new LayerLosses();
  probing: PageProbe | undefined;
  /** The trial of its pages in other forms that runs. */
  trial: PageTrial | undefined;
  /** Peak bytes of its pages during the request. */
  peakKvBytes = 0;
  /** Keeps pages in f16 beside their new forms, to measure the true error. */
  shadows = false;
  /** The memory budget overrode the error budget. */
  memoryOverrode = false;
  /** Tokens that were in the cache when the request began. */
  reused = 0;
  /** Set if it is a branch: its region of the page table, and the pages at its start that belong to another sequence. */
  branch: { region: number; sharedPages: number } | undefined;

  /** `adapters`: of its next tokens. `slot`: its sequence slot. `policy`: chooses the forms of its pages. */
  constructor(
    public adapters: AdapterMix = NO_ADAPTERS,
    public slot = 0,
    public policy: CachePolicy = DENSE,
  ) {}

  /** Its region of the page table. */
  get region(): number {
    return this.branch?.region ?? this.slot;
  }

  /** Cache place of the token at `position` of the text. */
  placeOf(position: number): number {
    return position - this.dropped;
  }

  /** Tokens whose keys and values are in the cache. */
  get heldTokens(): number {
    return this.placeOf(this.tokens.length);
  }

  /** The position after the last evicted token. */
  get droppedEnd(): number {
    return this.keptPages * PAGE_TOKENS + this.dropped;
  }

  /** Adapter row of the token at `position`. */
  rowOf(position: number): RampRow | 'sequence' {
    return this.rows[position] ?? this.decodeRow;
  }

  /** The next tokens take adapters and ranks from `text`. */
  attach(text: AdaptedText): void {
    this.adapters = text.mix;
    this.spans = text.spans;
    this.decodeRow = text.decodeRow;
    this.text = text;
  }

  /** Keeps the first `tokens` tokens, and the first page, from eviction, up to half a context. */
  keep(tokens: number, contextLength: number): void {
    if (this.dropped > 0) return; // the tokens after the kept pages are gone
    const most = Math.floor(pagesFor(contextLength) / 2);
    this.keptPages = Math.max(1, Math.min(pagesFor(tokens), most));
  }

  /** Cuts the text to its first `shared` tokens for another request. */
  reusePrefix(shared: number, slot: number, policy: CachePolicy): void {
    this.slot = slot;
    this.policy = policy; // a saved sequence has the policy's key only
    this.reused = shared;
    this.peakKvBytes = 0;
    this.memoryOverrode = false;
    if (shared < this.droppedEnd) this.dropped = 0;
    this.tokens.length = shared;
    this.rows.length = Math.min(this.rows.length, shared);
  }

  /** Updates the peak with the bytes of its pages. */
  notePeak(): void {
    this.peakKvBytes = Math.max(this.peakKvBytes, kvBytes(this.pages, this.states));
  }

  /** Removes all tokens; their pages are freed already. */
  clear(): void {
    this.tokens.length = 0;
    this.rows.length = 0;
    this.dropped = 0;
  }
}
