/** Stable identifiers of what went wrong; part of the public API. */
export type ErrorCode =
  | 'bad_file' // the bytes do not say what their format requires
  | 'unsupported' // well-formed, but something this runtime does not run
  | 'over_limit' // more than the device, the storage quota or a budget allows
  | 'bad_request' // an argument of a call is out of range
  | 'context_overflow' // more tokens than the context holds
  | 'queue_full'
  | 'busy' // another tab is using what is stored under that name
  | 'aborted' // the caller's signal, or `confirmLoad`, ended it; such an error is called AbortError
  | 'abandoned' // the answer was not read for too long, and gave up its place
  | 'no_webgpu'
  | 'kernel_refused' // this browser, or its driver, does not compile what a model runs on
  | 'wrong_results' // this device computes what a model runs on wrong
  | 'device_lost'
  | 'scheduler_lost' // the thread that plans ranks ended; the next request gets a new one
  | 'network'
  | 'storage_lost' // what the browser stored was deleted meanwhile, by its user or in another tab; the next attempt begins anew
  | 'disposed';

export interface ErrorDetail {
  /** The file, URL or model the error is about. */
  file?: string;
  /** The field, tensor, option or metadata key at fault. */
  field?: string;
  reason: string;
}

/** Every error this package throws on purpose: what failed, where, and why. */
export class ChunkwiseError extends Error {
  /** As `fetch` names it where the code is `aborted`. */
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
