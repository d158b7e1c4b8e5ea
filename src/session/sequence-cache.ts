import { NO_ADAPTERS } from './adapter-mix.ts';
import { type AdaptedSpan, alikeUntil, BASE_SPANS } from '../cache/adapted-span.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { CachePage } from '../cache/cache-page.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { isInSight } from '../cache/windows.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { Sequence } from './sequence.ts';

/** What a sequence must be like to be gone on from. */
interface Wanted {
  /** What its tokens are computed with; default: the base alone. */
  spans?: readonly AdaptedSpan[];
  /** Of the stream that goes on. */
  slot?: number;
  policy?: CachePolicy;
  /** One more answer to a request: it may begin with copies of what another answer has computed. */
  isFurther?: boolean;
  /** None of its tokens is gone on from: the cached one that is most like it makes way. */
  isAnew?: boolean;
}

/** The sequences of finished requests: the next one that begins like one of them goes on from there. */
export class SequenceCache {
  readonly #idle: Sequence[] = [];
  /** Those that are being computed. */
  readonly #running = new Set<Sequence>();

  constructor(private readonly cache: KvCache) {}

  /**
   * Frees pages until there is room for `count`, of which short-sighted layers have `inSight`, and for so many states, or no
   * sequence is left, at the cost of those longest unused.
   */
  makeRoom(count: number, inSight = 0, states = 0): void {
    const { cache } = this;
    while (!(cache.hasRoom(count, inSight) && states <= cache.states.room) && this.#idle.length > 0)
      this.#forget(this.#idle.shift());
  }

  /**
   * Makes ready for a batch of a text's tokens from `from` up to `to`, the last `drafted` of which may be thrown away: layers with a
   * delta net leave a state behind the others, at the cost of texts longest unused, and then of older states. Throws where
   * anything is recorded.
   */
  advance(sequence: Sequence, from: number, to: number, drafted = 0): void {
    const { states, config } = this.cache;
    if (!config.deltaNet) return;
    states.forget(sequence.states, from, to - drafted);
    while (states.room === 0 && this.#idle.length > 0) this.#forget(this.#idle.shift());
    // Never of the latest two: in a batch of several texts those may be what is read, and what is left. There is room for as many of all.
    for (const { states: own } of [...this.#running, sequence]) {
      if (states.room === 0) states.removeWhere(own, (state) => own.length > 2 && state === own[0]);
    }
    states.add(sequence.states, to - drafted, drafted);
    sequence.notePeak();
  }

  /** Gives back all that is known of a text that nobody goes on from. */
  #forget(sequence: Sequence | undefined): void {
    if (!sequence) return;
    this.cache.resize(sequence.pages, 0);
    this.cache.states.removeWhere(sequence.states, () => true);
  }

  /** Those of finished requests, least recently used first. */
  get idle(): readonly Sequence[] {
    return this.#idle;
  }

  /**
   * The sequence whose pages have this policy that shares the longest beginning with `prompt`, computed as `spans` say,
   * cut to it; at least one token is left to compute. `isFurther`: one more answer to a request: it may begin with copies
   * of what another answer has computed.
   */
  take(
    prompt: readonly number[],
    { spans = BASE_SPANS, slot = 0, policy = DENSE, isFurther = false, isAnew = false }: Wanted = {},
  ): Sequence {
    const sequence = this.#take(prompt, { spans, slot, policy, isFurther, isAnew });
    sequence.spans = spans; // what is shared is computed as both say
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
    const copied = isFurther && this.#copyOfRunning(prompt, wanted, shared);
    if (copied) return copied;
    if (!best) return new Sequence(NO_ADAPTERS, slot, policy);
    this.#idle.splice(this.#idle.indexOf(best), 1);
    best.takeUp(isAnew ? 0 : shared, slot, policy);
    this.cache.states.cut(best.states, best.tokens.length);
    this.cache.resize(best.pages, best.heldTokens);
    return best;
  }

  /**
   * A sequence that begins with copies of whole pages of one that is being computed, where they hold more than `least`
   * tokens of `prompt`: of a dense one, whose pages stay as they are. The step of its last token may not be submitted yet.
   */
  #copyOfRunning(
    prompt: readonly number[],
    { spans, slot, policy }: Required<Wanted>,
    least: number,
  ): Sequence | undefined {
    if (policy.key !== DENSE.key) return undefined;
    for (const running of this.#running) {
      const { tokens, pages, rows } = running;
      if (running.policy.key !== policy.key) continue;
      const length = Math.min(alike(running, prompt, spans), tokens.length - 1, prompt.length - 1);
      const { states } = this.cache;
      const whole = running.states.filter((state) => state.tail === 0 && state.tokens % PAGE_TOKENS === 0);
      const shared = this.#inSight(running, states.resumable(whole, length - (length % PAGE_TOKENS)));
      if (shared <= least) continue;
      const copies = states.room > 0 ? this.cache.copyOf(pages.slice(0, shared / PAGE_TOKENS)) : undefined;
      if (!copies) return undefined;
      const known = whole.filter((state) => state.tokens === shared).map((state) => states.copyOf(state));
      const sequence = new Sequence(NO_ADAPTERS, slot, policy);
      return Object.assign(sequence, {
        tokens: tokens.slice(0, shared),
        pages: copies,
        states: known,
        rows: rows.slice(0, shared),
        reused: shared,
      });
    }
    return undefined;
  }

  /** Where tokens can be added at or before `length`: see `reusable`; and a state is there, where layers need one. */
  #resumable(sequence: Sequence, length: number): number {
    const end = reusable(sequence, length);
    const known = this.cache.states.resumable(sequence.states, end);
    return known === end ? end : this.#resumable(sequence, known);
  }

  /** `length`, or nothing where a token there would see pages that layers with a window gave back. */
  #inSight(sequence: Sequence, length: number): number {
    const place = length < sequence.droppedEnd ? length : sequence.placeOf(length);
    return isInSight(this.cache.config, sequence.pages, place) ? length : 0;
  }

  /**
   * Cuts a text that is being computed to at most its first `length` tokens, to where it can be gone on from. Of what is kept behind
   * `turn` tokens only that is any more.
   */
  goBack(sequence: Sequence, length: number, turn: number): void {
    const end = this.#resumable(sequence, Math.min(length, sequence.tokens.length));
    sequence.tokens.length = end;
    this.cache.states.letGo(sequence.states, turn, end);
    this.cache.states.cut(sequence.states, end); // what it goes on from is its latest, which others leave it
  }

  giveBack(sequence: Sequence): void {
    this.#running.delete(sequence);
    sequence.text = undefined;
    this.cache.resize(sequence.pages, sequence.heldTokens);
    this.cache.states.endTurn(sequence.states, sequence.tokens.length);
    if (sequence.tokens.length > 0) this.#idle.push(sequence);
  }

  /** Gives `sequence` pages up to its `length`-th token, at the cost of the sequences longest unused. */
  reserve(sequence: Sequence, length: number): void {
    const tokens = sequence.placeOf(length);
    this.cache.probes.use(sequence.slot);
    while (!this.cache.resize(sequence.pages, tokens)) {
      const oldest = this.#idle.shift();
      if (!oldest) {
        const reason = `${tokens} tokens need more than the cache's ${this.cache.numPages} pages`;
        throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
      }
      this.#forget(oldest);
    }
    sequence.notePeak();
  }
}

/** How many first tokens of `prompt`, computed as `spans` say, a sequence has. */
const alike = (sequence: Sequence, prompt: readonly number[], spans: readonly AdaptedSpan[]): number =>
  Math.min(commonPrefix(sequence.tokens, prompt), alikeUntil(sequence.spans, spans));

/** Where tokens can be added at or before `length`: where tokens were given up behind them, or in the kept pages. */
function reusable(sequence: Sequence, length: number): number {
  const { pages, dropped, keptPages } = sequence;
  const end = writableEnd(pages, sequence.placeOf(length)) + dropped;
  if (dropped === 0 || end >= sequence.droppedEnd) return end;
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
