import { type AdaptedSpan, BASE_SPANS } from '../cache/adapted-span.ts';
import type { AdaptedText } from './adapted-text.ts';
import { type AdapterMix, FULL_ROW, NO_ADAPTERS } from './adapter-mix.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { CachePage, PageProbe, PageTrial } from '../cache/cache-page.ts';
import { LayerLosses } from '../cache/layer-losses.ts';
import { kvBytes } from '../cache/kv-report.ts';
import type { TextState } from '../cache/text-states.ts';
import { pagesFor } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';

/** A text, and the pages that the keys and values of its tokens are in. */
export class Sequence {
  tokens: number[] = [];
  pages: CachePage[] = [];
  /** What layers with a delta net know of it, at some places. */
  states: TextState[] = [];
  /** Pages at the beginning that are never given up: what every token attends to, and what the system says. */
  keptPages = 1;
  /** Tokens behind those of the kept pages that were given up (context shift): what follows them stands that much nearer. */
  dropped = 0;
  /** What its tokens were computed with: another request goes on from them as far as it would compute them alike. */
  spans: readonly AdaptedSpan[] = BASE_SPANS;
  /** What each token takes of the adapters, by position; where nothing is said, it is `decodeRow`. */
  rows: (RampRow | undefined)[] = [];
  decodeRow: RampRow | 'stream' = FULL_ROW;
  /** Gives the rows of the tokens that are prefilled. */
  text: AdaptedText | undefined;
  /** What probes of its pages found, and what one is finding. */
  probed = new LayerLosses();
  probing: PageProbe | undefined;
  /** Pages of it that are being tried in other forms. */
  trial: PageTrial | undefined;
  /** Most bytes its pages had during the request. */
  peakKvBytes = 0;
  /** Pages stay in f16 beside the form they take, to tell the true error. */
  shadows = false;
  /** The memory budget had its way with its pages against the error budget. */
  memoryOverrode = false;
  /** Tokens that were in the cache when the request began. */
  reused = 0;

  /**
   * `adapters`: those its next tokens are computed with. `slot`: of the stream that computes it. `policy`: decides in
   * which form its pages lie.
   */
  constructor(
    public adapters: AdapterMix = NO_ADAPTERS,
    public slot = 0,
    public policy: CachePolicy = DENSE,
  ) {}

  /** Where the token at `position` of the text stands in the cache. */
  placeOf(position: number): number {
    return position - this.dropped;
  }

  /** Tokens whose keys and values are in the cache. */
  get heldTokens(): number {
    return this.placeOf(this.tokens.length);
  }

  /** The position behind the last token that was given up. */
  get droppedEnd(): number {
    return this.keptPages * PAGE_TOKENS + this.dropped;
  }

  /** What the token at `position` takes of the adapters. */
  rowOf(position: number): RampRow | 'stream' {
    return this.rows[position] ?? this.decodeRow;
  }

  /** From here on its tokens are those of `text`. */
  attach(text: AdaptedText): void {
    this.adapters = text.mix;
    this.spans = text.spans;
    this.decodeRow = text.decodeRow;
    this.text = text;
  }

  /** Never gives up its first `tokens` tokens, nor the first page, as far as half a context goes. */
  keep(tokens: number, contextLength: number): void {
    if (this.dropped > 0) return; // what stands behind them is gone
    const most = Math.floor(pagesFor(contextLength) / 2);
    this.keptPages = Math.max(1, Math.min(pagesFor(tokens), most));
  }

  /** Another request goes on from its first `shared` tokens, which are in the cache. */
  takeUp(shared: number, slot: number, policy: CachePolicy): void {
    this.slot = slot;
    this.policy = policy; // a saved sequence has but its key
    this.reused = shared;
    this.peakKvBytes = 0;
    this.memoryOverrode = false;
    if (shared < this.droppedEnd) this.dropped = 0;
    this.tokens.length = shared;
    this.rows.length = Math.min(this.rows.length, shared);
  }

  /** Its pages are those of now: has them counted. */
  notePeak(): void {
    this.peakKvBytes = Math.max(this.peakKvBytes, kvBytes(this.pages, this.states));
  }

  /** Has no tokens any more; its pages are given up before. */
  clear(): void {
    this.tokens.length = 0;
    this.rows.length = 0;
    this.dropped = 0;
  }
}
