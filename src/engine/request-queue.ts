import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Lets one request run at a time, in the order of their coming. */
export class RequestQueue {
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** `limit`: requests that may wait behind the running one. */
  constructor(private readonly limit: number) {}

  /** Resolves when it is the caller's turn, with the function that ends it. Errors: `queue_full`, `aborted`. */
  async enter(signal?: AbortSignal): Promise<() => void> {
    if (this.#waiting > this.limit) {
      const reason = `${this.limit} requests are waiting already`;
      throw new ChunkwiseError('queue_full', { field: 'queueLimit', reason });
    }
    this.#waiting++;
    const before = this.#last;
    let end: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => {
      end = () => {
        this.#waiting--;
        resolve();
      };
    });
    await before;
    if (signal?.aborted) {
      end();
      throw new ChunkwiseError('aborted', { reason: 'the request was aborted while it waited' });
    }
    return end;
  }
}
