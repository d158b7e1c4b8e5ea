/** A case that takes so many times what it may of the processor is ended. */
export const HANG_FACTOR = 5;

/** Memory that an input of so many bytes may take. */
export const mostBytes = (bytes: number): number => 4 * bytes + (64 << 20);

/** Each case has random numbers of its own, so that it can be run alone. */
export const caseSeed = (seed: number, index: number): number =>
  Math.imul(seed + 1, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b);

export interface ToChild {
  name: string;
  seed: number;
  first: number;
  count: number;
  /** Processor time of one case. */
  mostCpuMs: number;
}

export type FromChild =
  | { type: 'begin'; index: number; what: string }
  | { type: 'end'; index: number; isRefused: boolean; cpuMs: number; bytes: number; failure?: string }
  | { type: 'done' }
  /** What all cases begin from is not right, or the runner itself is not. */
  | { type: 'broken'; reason: string };
