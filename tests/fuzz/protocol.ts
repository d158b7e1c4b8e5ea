/** A case that exceeds its processor time by this factor is killed. */
export const HANG_FACTOR = 5;

/** Memory allowed for an input of `bytes` bytes. */
export const mostBytes = (bytes: number): number => 4 * bytes + (64 << 20);

/** Each case has its own seed, so that it can run alone. */
export const caseSeed = (seed: number, index: number): number =>
  Math.imul(seed + 1, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b);

export interface ToChild {
  name: string;
  seed: number;
  first: number;
  count: number;
  /** Processor time allowed for one case. */
  mostCpuMs: number;
}

export type FromChild =
  | { type: 'begin'; index: number; what: string }
  | { type: 'end'; index: number; isRefused: boolean; cpuMs: number; bytes: number; failure?: string }
  | { type: 'done' }
  /** The valid inputs failed their check, or the runner failed. */
  | { type: 'broken'; reason: string };
