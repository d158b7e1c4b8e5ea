import { MAX_STREAMS } from '../config/max-streams.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Requests that may wait, where nothing else is said. */
export const DEFAULT_QUEUE_LIMIT = 16;

/** What a request holds while it runs. */
interface Needs {
  /** Stream slots. */
  slots: number;
  /** Pages of the cache, as many as it may come to fill. */
  pages: number;
}

export interface Turn {
  /** Its stream slot, or the first of them. */
  slot: number;
  leave(): void;
}

interface Waiting {
  needs: Needs;
  /** Of a request that has its place already: it takes none of those that wait. */
  isFurther: boolean;
  admit: (turn: Turn) => void;
}

/** Admits requests in the order of their coming, as many at once as there are slots and pages for all they need. */
export class RequestQueue {
  readonly #freeSlots = Array.from({ length: MAX_STREAMS }, (_, slot) => slot);
  readonly #waiting: Waiting[] = [];
  #freePages: number;

  /** `limit`: requests that may wait behind the running ones. */
  constructor(
    private readonly limit: number,
    private readonly numPages: number,
  ) {
    this.#freePages = numPages;
  }

  /**
   * Resolves when it is the caller's turn. `pages`: at most what the cache has. `isFurther`: one more answer to a request
   * that has entered; it is never refused. Errors: `queue_full`, `aborted`.
   */
  enter(pages: number, signal?: AbortSignal, isFurther = false): Promise<Turn> {
    return this.#enter({ slots: 1, pages }, signal, isFurther);
  }

  /** The same with everything: while it lasts nobody else runs. */
  enterAlone(signal?: AbortSignal): Promise<Turn> {
    return this.#enter({ slots: MAX_STREAMS, pages: this.numPages }, signal);
  }

  async #enter(needs: Needs, signal: AbortSignal | undefined, isFurther = false): Promise<Turn> {
    const aborted = (): ChunkwiseError =>
      new ChunkwiseError('aborted', { reason: 'the request was aborted while it waited' });
    if (signal?.aborted) throw aborted();
    let stopWaiting: () => void = () => undefined;
    const turn = await new Promise<Turn>((resolve, reject) => {
      const waiting = { needs, isFurther, admit: resolve };
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
      const next = this.#waiting[0];
      if (!next || next.needs.slots > this.#freeSlots.length || next.needs.pages > this.#freePages) return;
      this.#waiting.shift();
      next.admit(this.#take(next.needs));
    }
  }

  #take({ slots, pages }: Needs): Turn {
    const taken = this.#freeSlots.splice(0, slots);
    this.#freePages -= pages;
    return {
      slot: taken[0] ?? 0,
      leave: () => {
        this.#freeSlots.unshift(...taken);
        this.#freePages += pages;
        this.#admit();
      },
    };
  }
}
