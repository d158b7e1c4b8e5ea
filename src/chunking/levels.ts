import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/**
 * Complexities from which the next level begins, ascending: n thresholds part n + 1 levels. Level 0 loses most of the
 * adapter's delta, the last one least; how much is the rank ladder's business.
 */
export type LevelThresholds = readonly number[];

/** Part repeated text, ordinary prose in three, and where a text turns or has digits without order. */
export const DEFAULT_THRESHOLDS: LevelThresholds = [0.2, 0.42, 0.52, 0.68];

/** Errors: `bad_request`, where thresholds are not ascending. */
export function checkThresholds(thresholds: LevelThresholds): void {
  if (thresholds.every((threshold, i) => threshold > (thresholds[i - 1] ?? -Infinity))) return;
  const reason = `must ascend, not ${JSON.stringify(thresholds)}`;
  throw new ChunkwiseError('bad_request', { field: 'thresholds', reason });
}

export function levelOf(complexity: number, thresholds: LevelThresholds): number {
  return thresholds.filter((threshold) => complexity >= threshold).length;
}

/**
 * The level after `previous`: it changes only when complexity is past a threshold by more than `margin`. With margin 0
 * the same as `levelOf`. The sampling kernel does the same sum.
 */
export function nextLevel(previous: number, complexity: number, thresholds: LevelThresholds, margin: number): number {
  const lowest = levelOf(complexity - margin, thresholds);
  const highest = levelOf(complexity + margin, thresholds);
  return Math.min(highest, Math.max(lowest, previous));
}
