import type { ErrorCode } from '../../src/errors/chunkwise-error.ts';
import type { Random } from '../support/random.ts';

/** One input and its check. */
export interface FuzzCase {
  /** Description of the mutation. */
  what: string;
  bytes: number;
  /** Resolves if every result is correct. Any error except a ChunkwiseError with one of the kind's codes is a failure. */
  run(): Promise<void> | void;
}

/** Inputs of one kind. */
export interface FuzzKind {
  codes: readonly ErrorCode[];
  /** Prepares and checks the inputs to mutate. The returned function creates the case of a `random`. */
  open(): Promise<(random: Random, index: number) => FuzzCase>;
}

export const FILE_CODES: readonly ErrorCode[] = ['bad_file', 'unsupported'];

export function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`wrong: ${what}`);
}
