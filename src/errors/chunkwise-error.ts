/** Stable identifiers of errors; part of the public API. */
export type ErrorCode =
  | 'bad_file' // the bytes violate their format
  | 'unsupported' // valid, but this runtime does not run it
  | 'over_limit' // exceeds the device, the storage quota or a budget
  | 'bad_request' // an argument is out of range
  | 'context_overflow' // the tokens exceed the context
  | 'queue_full'
  | 'busy' // another tab uses the stored file of that name
  | 'aborted' // the caller's signal or `confirmLoad` stopped it; the error's name is AbortError
  | 'abandoned' // the answer was not read for too long and lost its place
  | 'no_webgpu'
  | 'kernel_refused' // the browser or its driver does not compile a kernel that the model needs
  | 'wrong_results' // the device computes a kernel that the model needs wrong
  | 'device_lost'
  | 'scheduler_lost' // the thread that plans ranks ended; the next request starts a new one
  | 'network'
  | 'storage_lost' // the user or another tab deleted stored files; a retry downloads them again
  | 'disposed';

export interface ErrorDetail {
  /** The file, URL or model at fault. */
  file?: string;
  /** The field, tensor, option or metadata key at fault. */
  field?: string;
  reason: string;
}

/** Every error that this package throws on purpose: where it failed and why. */
export class ChunkwiseError extends Error {
  /** The name that `fetch` uses, if the code is `aborted`. */
  override readonly name: 'ChunkwiseError' | 'AbortError';

  constructor(
    readonly code: ErrorCode,
    readonly detail: ErrorDetail,
    options?: ErrorOptions,
  ) {
    const where = [detail.file, detail.field].filter((part) => part !== undefined).join(': ');
    super(where === '' ? detail.reason : `${where}: ${detail.reason}`, options);
    this.name = code === 'aborted' ? 'AbortError' : 'ChunkwiseError';
  }
}

/** Throws `aborted` if the caller aborted the request. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw requestAborted();
}

const requestAborted = (): ChunkwiseError => new ChunkwiseError('aborted', { reason: 'the request was aborted' });

/** Settles as `promise` does, or throws `aborted` as soon as the caller aborts; `promise` then continues unobserved. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  throwIfAborted(signal);
  if (!signal) return promise;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(requestAborted());
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Error for a caller's abort of `what`, such as `the request`. The signal's reason is the cause; the message includes
 * it if the caller set it.
 */
export function abortError({ reason: cause }: AbortSignal, what: string): ChunkwiseError {
  const isOwn = !(cause instanceof DOMException && cause.name === 'AbortError');
  const own = cause instanceof Error ? cause.message : String(cause);
  return new ChunkwiseError('aborted', { reason: `the caller aborted ${what}${isOwn ? `: ${own}` : ''}` }, { cause });
}

/** The same promise, safe to await later: a rejection before that is not reported as unhandled. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
