import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Span } from './chunker.ts';
import type { RampRow } from './ramps.ts';

/**
 * Words of rank plans. A rank ladder is an adapter refactored so that its first k components are its best rank-k
 * approximation (adapters/rank-ladder.ts). A rank level is an index into a list of ranks for each module
 * (adapters/level-ranks.ts). A row holds one token's levels with their weights (ramps.ts). A plan holds the rows of a text.
 */

/**
 * Ascending complexities at which the next rank level begins: n thresholds separate n + 1 levels. Level 0 loses most of
 * the adapter's delta, the last level least; adapters/level-ranks.ts maps levels to ranks.
 */
export type LevelThresholds = readonly number[];

/** Separate repeated text, three levels of ordinary prose, and turns of a text or random digits. */
export const DEFAULT_THRESHOLDS: LevelThresholds = [0.2, 0.42, 0.52, 0.68];

/** Errors: `bad_request` if the thresholds do not ascend. */
export function checkThresholds(thresholds: LevelThresholds): void {
  if (thresholds.every((threshold, i) => threshold > (thresholds[i - 1] ?? -Infinity))) return;
  const reason = `must ascend, not ${JSON.stringify(thresholds)}`;
  throw new ChunkwiseError('bad_request', { field: 'thresholds', reason });
}

export function levelOf(complexity: number, thresholds: LevelThresholds): number {
  return thresholds.filter((threshold) => complexity >= threshold).length;
}

/**
 * The level after `previous`, with hysteresis: it changes only if complexity passes a threshold by more than `margin`.
 * Margin 0 gives `levelOf`. The sampling kernel computes the same.
 */
export function nextLevel(previous: number, complexity: number, thresholds: LevelThresholds, margin: number): number {
  const lowest = levelOf(complexity - margin, thresholds);
  const highest = levelOf(complexity + margin, thresholds);
  return Math.min(highest, Math.max(lowest, previous));
}

/** A run of tokens of one rank level; `end` is exclusive, `complexity` is the mean over its tokens. */
export interface Chunk extends Span {
  level: number;
  /** Multiplies the adapter's output in this chunk. */
  scale: number;
}

/**
 * Defines rank levels: by `ranks`, one rank per level for every module; or by `rankErrorBudget`, the part of the adapter's
 * delta that level 0 may lose (relative L2).
 */
export type LevelRule = { ranks: number[] } | { rankErrorBudget: number };

/** The rank levels of a text's tokens. A recorded plan can be replayed; see `plan-file.ts`. */
export interface ChunkPlan {
  tokens: number[];
  /** Complexity of each token, in [0, 1]. */
  complexity: number[];
  /** Cover the tokens without gaps. */
  chunks: Chunk[];
  /** One row per token; its weights include the scales of the chunk and the request. */
  table: RampRow[];
  /** Mean rank of each level, ascending; null: the adapter's own. */
  ladder: number[] | null;
  /** Definition of the rank levels; null: the adapter's default. */
  levels: LevelRule | null;
}

/** Mean over tokens of the ranks read; in a ramp, the rank of the higher side. */
export function meanRank(table: readonly RampRow[], ladder: readonly number[]): number {
  return table.reduce((sum, { levelHi }) => sum + ladder[levelHi]!, 0) / Math.max(1, table.length);
}
