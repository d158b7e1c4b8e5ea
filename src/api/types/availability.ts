/** What `availability` tells. */
import type { ErrorCode } from '../../errors/chunkwise-error.ts';

/** `available`: it runs here, and nothing is to be downloaded. `downloadable`: it can be had, and should run. */
export type Availability =
  | { status: 'available'; reason: string }
  /** `bytes`: of the model's files; `missingBytes`: of these, what is still to be downloaded. */
  | { status: 'downloadable'; reason: string; bytes: number; missingBytes: number }
  /** `code`: of the error that `createEngine` would throw. */
  | { status: 'unavailable'; reason: string; code: ErrorCode };
