import { MAX_SEQUENCES } from '../config/limits.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Default limit of waiting requests. */
export const DEFAULT_QUEUE_LIMIT = 16;

export interface Turn {
  /** Its sequence slot, or the first of several. */
  slot: number;
  leave(): void;
}

interface Waiting {
  /** Sequence slots. */
  slots: number;
  /** Cache pages that it may fill. */
  pages: number;
  /** Another answer to an admitted request: the limit does not count it. */
  isFurther: boolean;
  admit: (turn: Turn) => void;
}

/** Admits requests in order, each once its slots and pages are free. */
export class RequestQueue {
  readonly #freeSlots = Array.from({ length: MAX_SEQUENCES }, (_, slot) => slot);
  readonly #waiting: Waiting[] = [];
  #freePages: number;

  /** `limit`: most requests that may wait. */
  constructor(
    private readonly limit: number,
    private readonly numPages: number,
  ) {
    this.#freePages = numPages;
  }

  /**
   * Resolves when the request is admitted. `pages`: at most those of the cache. `isFurther`: another answer to an
   * admitted request, which is never refused. Errors: `queue_full`, `aborted`.
   */
  async enter(pages: number, signal?: AbortSignal, isFurther = false, slots = 1): Promise<Turn> {
    const aborted = (): ChunkwiseError =>
      new ChunkwiseError('aborted', { reason: 'the request was aborted while it waited' });
    if (signal?.aborted) throw aborted();
    let stopWaiting: () => void = () => undefined;
    const turn = await new Promise<Turn>((resolve, reject) => {
      const waiting = { slots, pages, isFurther, admit: resolve };
      stopWaiting = () => {
        const at = this.#waiting.indexOf(waiting);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(aborted());
        this.#admit();
      };
      this.#waiting.push(waiting);
      this.#admit();
      if (isFurther || this.#waiting.filter((other) => !other.isFurther).length <= this.limit) {
        signal?.addEventListener('abort', stopWaiting);
        return;
      }
      this.#waiting.pop();
      const reason = `${this.limit} requests are waiting already`;
      reject(new ChunkwiseError('queue_full', { field: 'queueLimit', reason }));
    }).finally(() => signal?.removeEventListener('abort', stopWaiting));
    if (signal?.aborted) {
      turn.leave();
      throw aborted();
    }
    return turn;
  }

  #admit(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (!next || next.slots > this.#freeSlots.length || next.pages > this.#freePages) return;
      this.#waiting.shift();
      const taken = this.#freeSlots.splice(0, next.slots);
      this.#freePages -= next.pages;
      const leave = (): void => {
        this.#freeSlots.unshift(...taken);
        this.#freePages += next.pages;
        this.#admit();
      };
      next.admit({ slot: taken[0] ?? 0, leave });
    }
  }

  /** Takes all slots and pages: no other request runs meanwhile. Errors: `queue_full`, `aborted`. */
  enterAlone(signal?: AbortSignal): Promise<Turn> {
    return this.enter(this.numPages, signal, false, MAX_SEQUENCES);
  }
}
