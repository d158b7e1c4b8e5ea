import type { ErrorCode } from '../../src/errors/chunkwise-error.ts';
import type { Random } from '../support/random.ts';

/** One input, and what it must stand. */
export interface FuzzCase {
  /** What was done to a whole input. */
  what: string;
  bytes: number;
  /** Resolves when all that came of the input is right; whatever it throws but a ChunkwiseError of the kind's codes is a failure. */
  run(): Promise<void> | void;
}

/** Inputs of one kind. */
export interface FuzzKind {
  codes: readonly ErrorCode[];
  /** Readies what all inputs begin from, and sees that it is right as it is; the function gives the case of each `random`. */
  open(): Promise<(random: Random, index: number) => FuzzCase>;
}

export const FILE_CODES: readonly ErrorCode[] = ['bad_file', 'unsupported'];

export function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`wrong: ${what}`);
}
