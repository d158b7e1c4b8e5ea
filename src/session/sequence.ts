import {
  type AdaptedSpan,
  BASE_SPANS,
  type CachePage,
  isInWindow,
  LayerLosses,
  type PageProbe,
  sameAdaptersUntil,
} from '../cache/cache-page.ts';
import { type AdaptedText, type AdapterMix, FULL_ROW, NO_ADAPTERS } from './adapter-mix.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { RecurrentState } from '../cache/recurrent-states.ts';
import { kvBytes, type KvCache, pagesFor } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { MAX_SEQUENCES } from '../config/limits.ts';

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
  /** Set while the model repeats parts of the text to measure entries: its pages must not change. */
  measuring: AbortController | undefined;
  /** Times that entries were measured. */
  measurements = 0;
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

/** Requirements of a request for a cached sequence. */
interface Wanted {
  /** Adapters of each part of its text; default: the base alone. */
  spans?: readonly AdaptedSpan[];
  /** Sequence slot of the request. */
  slot?: number;
  policy?: CachePolicy;
  /** Another answer to a request: it may copy pages of an answer that runs. */
  isFurther?: boolean;
  /** Reuses no token: the best match is evicted. */
  isAnew?: boolean;
}

/** The prefix cache: sequences of finished requests, which later requests with the same prefix reuse. */
export class SequenceCache {
  readonly #idle: Sequence[] = [];
  /** Sequences that are being computed. */
  readonly #running = new Set<Sequence>();

  constructor(private readonly cache: KvCache) {}

  /**
   * Evicts the longest unused sequences until `count` pages, of which sliding-window layers see `inSight`, and
   * `states` recurrent states are free, or no sequence is left.
   */
  makeRoom(count: number, inSight = 0, states = 0): void {
    const { cache } = this;
    while (
      !(cache.hasRoom(count, inSight) && states <= (cache.recurrentStates?.room ?? Infinity)) &&
      this.#idle.length > 0
    )
      this.#forget(this.#idle.shift());
  }

  /**
   * Prepares a batch of positions `from` to `to`, whose last `drafted` tokens are drafts: adds a recurrent state for
   * delta-net layers. Evicts the longest unused texts, then older states, if there is no room. Throws if
   * anything is recorded.
   */
  advance(sequence: Sequence, from: number, to: number, drafted = 0): void {
    const { recurrentStates: states } = this.cache;
    if (!states) return;
    states.forget(sequence.states, from, to - drafted);
    while (states.room === 0 && this.#idle.length > 0) this.#forget(this.#idle.shift());
    // Keeps the latest two: a batch of several texts may read one and write the other. There is room for two of every
    // text.
    for (const { states: own } of [...this.#running, sequence]) {
      if (states.room === 0) states.removeWhere(own, (state) => own.length > 2 && state === own[0]);
    }
    states.add(sequence.states, to - drafted, drafted);
    sequence.notePeak();
  }

  /** Frees pages and states of an evicted sequence. */
  #forget(sequence: Sequence | undefined): void {
    if (!sequence) return;
    this.cache.resize(sequence.pages, 0);
    this.cache.recurrentStates?.removeWhere(sequence.states, () => true);
  }

  /** Sequences of finished requests, least recently used first. */
  get idle(): readonly Sequence[] {
    return this.#idle;
  }

  /**
   * Takes the cached sequence of this policy with the longest common prefix of `prompt`, computed with the same
   * adapters, and cuts it to that prefix; at least one token is left to compute. A sequence that would lose more than it
   * shares, as texts with the same system prompt do, stays in the cache if there is room for copies of its shared pages.
   * `isFurther`: it may copy pages of an answer that runs.
   */
  take(
    prompt: readonly number[],
    { spans = BASE_SPANS, slot = 0, policy = DENSE, isFurther = false, isAnew = false }: Wanted = {},
  ): Sequence {
    const sequence = this.#take(prompt, { spans, slot, policy, isFurther, isAnew });
    sequence.spans = spans; // both have the same adapters up to there
    this.#running.add(sequence);
    return sequence;
  }

  #take(prompt: readonly number[], wanted: Required<Wanted>): Sequence {
    const { spans, slot, policy, isFurther, isAnew } = wanted;
    let best: Sequence | undefined;
    let shared = 0;
    for (const sequence of this.#idle) {
      if (sequence.policy.key !== policy.key) continue;
      const length = this.#inSight(
        sequence,
        this.#resumable(sequence, Math.min(alike(sequence, prompt, spans), prompt.length - 1)),
      );
      if (length > shared) [best, shared] = [sequence, length];
    }
    // The pages of a dense text that runs do not change.
    let copied = isFurther && policy.key === DENSE.key && this.#copyOf(this.#running, prompt, wanted, shared);
    const losesMore = !isAnew && (best?.tokens.length ?? 0) - shared > Math.max(shared, PAGE_TOKENS);
    if (best && losesMore) copied ||= this.#copyOf([best], prompt, wanted);
    if (copied) return copied;
    if (!best || (losesMore && shared < PAGE_TOKENS)) return new Sequence(NO_ADAPTERS, slot, policy);
    this.#idle.splice(this.#idle.indexOf(best), 1);
    best.reusePrefix(isAnew ? 0 : shared, slot, policy);
    this.cache.recurrentStates?.cut(best.states, best.tokens.length);
    this.cache.resize(best.pages, best.heldTokens);
    return best;
  }

  /**
   * A sequence of copied pages of one of `sources`, if they hold more than `least` tokens of `prompt`. The step of a
   * source's last token may not be submitted yet.
   */
  #copyOf(
    sources: Iterable<Sequence>,
    prompt: readonly number[],
    { spans, slot, policy }: Required<Wanted>,
    least = 0,
  ): Sequence | undefined {
    for (const source of sources) {
      const { tokens, pages, rows } = source;
      if (source.policy.key !== policy.key) continue;
      const length = Math.min(alike(source, prompt, spans), tokens.length - 1, prompt.length - 1);
      const { recurrentStates: states } = this.cache;
      const whole = source.states.filter((state) => state.tail === 0 && state.tokens % PAGE_TOKENS === 0);
      const end = source.dropped > 0 ? Math.min(length, source.keptPages * PAGE_TOKENS) : length;
      const shared = this.#inSight(source, states?.resumable(whole, reusable(source, end)) ?? reusable(source, end));
      if (shared <= least || reusable(source, shared) !== shared) continue;
      const copies = states?.room === 0 ? undefined : this.cache.copyOf(pages.slice(0, pagesFor(shared)));
      if (!copies) return undefined;
      const known = whole.flatMap((state) => (state.tokens === shared ? (states?.copyOf(state) ?? []) : []));
      const sequence = new Sequence(NO_ADAPTERS, slot, policy);
      return Object.assign(sequence, {
        tokens: tokens.slice(0, shared),
        pages: copies,
        states: known,
        rows: rows.slice(0, shared),
        probed: new LayerLosses(source.probed.found, source.probed.pages),
        reused: shared,
      });
    }
    return undefined;
  }

  /**
   * The last position at or before `length` from which a sequence can continue; see `reusable`. Delta-net layers need
   * a saved state there.
   */
  #resumable(sequence: Sequence, length: number): number {
    const end = reusable(sequence, length);
    const known = this.cache.recurrentStates?.resumable(sequence.states, end) ?? end;
    return known === end ? end : this.#resumable(sequence, known);
  }

  /** `length`, or 0 if a token there would attend to pages that sliding-window layers have freed. */
  #inSight(sequence: Sequence, length: number): number {
    const place = length < sequence.droppedEnd ? length : sequence.placeOf(length);
    return isInWindow(this.cache.config, sequence.pages, place) ? length : 0;
  }

  /**
   * Cuts a running text to the last position at or before `length` from which it can continue. Drops states after
   * token `turn` that are not needed.
   */
  goBack(sequence: Sequence, length: number, turn: number): void {
    sequence.measuring?.abort();
    const end = this.#resumable(sequence, Math.min(length, sequence.tokens.length));
    sequence.tokens.length = end;
    this.cache.recurrentStates?.letGo(sequence.states, turn, end);
    this.cache.recurrentStates?.cut(sequence.states, end); // the text continues from its latest state, which eviction keeps
  }

  /**
   * A sequence that goes on from all tokens of a running one, without recurrent states: it shares the whole pages, and has
   * a copy of the last one. `branch`: below MAX_BRANCHES; branches of one batch differ. Until it is pruned, the running one
   * must not change. Throws `context_overflow`, and an Error if anything is recorded.
   */
  branch(sequence: Sequence, branch: number): Sequence {
    const { tokens, pages, rows, adapters, slot, policy, spans, decodeRow, heldTokens, dropped, keptPages } = sequence;
    const sharedPages = Math.floor(heldTokens / PAGE_TOKENS);
    const own = pages.slice(sharedPages, pagesFor(heldTokens));
    this.makeRoom(own.length, own.length);
    const copies = this.cache.copyOf(own);
    if (!copies) throw this.#overflow(heldTokens);
    return Object.assign(new Sequence(adapters, slot, policy), {
      ...{ dropped, keptPages },
      tokens: [...tokens],
      pages: [...pages.slice(0, sharedPages), ...copies],
      rows: [...rows],
      branch: { region: MAX_SEQUENCES + branch, sharedPages },
      spans,
      decodeRow,
    });
  }

  /** Frees the pages of a branch that it does not share. */
  prune({ pages, branch }: Sequence): void {
    this.cache.resize(pages.splice(branch?.sharedPages ?? 0), 0);
  }

  giveBack(sequence: Sequence): void {
    sequence.measuring?.abort();
    this.#running.delete(sequence);
    sequence.text = undefined;
    this.cache.resize(sequence.pages, sequence.heldTokens);
    this.cache.recurrentStates?.endTurn(sequence.states, sequence.tokens.length);
    if (sequence.tokens.length > 0) this.#idle.push(sequence);
  }

  /** Reserves pages for `sequence` up to token `length`, and evicts the longest unused sequences for them. */
  reserve(sequence: Sequence, length: number): void {
    const tokens = sequence.placeOf(length);
    this.cache.probes.use(sequence.slot);
    while (!this.cache.resize(sequence.pages, tokens)) {
      const oldest = this.#idle.shift();
      if (!oldest) throw this.#overflow(tokens);
      this.#forget(oldest);
    }
    sequence.notePeak();
  }

  #overflow(tokens: number): ChunkwiseError {
    const reason = `${tokens} tokens need more than the cache's ${this.cache.numPages} pages`;
    return new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
  }
}

/** Tokens of the longest common prefix of `prompt` and a sequence with the same adapters. */
const alike = (sequence: Sequence, prompt: readonly number[], spans: readonly AdaptedSpan[]): number =>
  Math.min(commonPrefix(sequence.tokens, prompt), sameAdaptersUntil(sequence.spans, spans));

/** The last position at or before `length` where tokens can be added: after evicted tokens, or in the kept pages. */
function reusable(sequence: Sequence, length: number): number {
  const { pages, dropped, keptPages } = sequence;
  const end = writableEnd(pages, sequence.placeOf(length)) + dropped;
  if (dropped === 0 || end >= sequence.droppedEnd) return end;
  return writableEnd(pages, Math.min(length, keptPages * PAGE_TOKENS));
}

/**
 * The last position at or before `length` where tokens can be added: the start of a page unless all of it is in f16. A text
 * with sparse pages continues after all of them, or before the first.
 */
function writableEnd(pages: readonly CachePage[], length: number): number {
  const at = Math.floor(length / PAGE_TOKENS);
  const areSparse = (page: CachePage): boolean => page.isSparse === true;
  const first = pages.findIndex(areSparse);
  if (first >= 0 && at >= first && at <= pages.findLastIndex(areSparse)) return first * PAGE_TOKENS;
  const page = pages[at];
  return !page || page.layers.every(({ form }) => form === 'f16') ? length : page.base;
}

/** Tokens of the longest common prefix. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
