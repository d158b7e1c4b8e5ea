import type { Span } from './chunker.ts';
import type { RampRow } from './ramps.ts';

/** A run of tokens that share a level; `end` is exclusive, `complexity` the mean of its tokens'. */
export interface Chunk extends Span {
  level: number;
  /** Multiplies the adapter's output in this chunk. */
  scale: number;
}

/**
 * What levels are: the same rank for every module, one for each level; or ranks by what level 0 may lose of the
 * adapter's delta (relative L2).
 */
export type LevelRule = { ranks: number[] } | { rankErrorBudget: number };

/** Which ranks each token of a text gets. Recorded once, it can be run again; see `plan-file.ts`. */
export interface ChunkPlan {
  tokens: number[];
  /** Of each token, in [0, 1]. */
  complexity: number[];
  /** Cover the tokens without gaps. */
  chunks: Chunk[];
  /** One row a token; its weights include the chunk's and the request's scale. */
  table: RampRow[];
  /** Mean rank of each level, ascending; null where any adapter's own ladder serves. */
  ladder: number[] | null;
  /** What its levels are; null where the adapter's default serves. */
  levels: LevelRule | null;
}

/** Mean over tokens of the ranks that are read: in a ramp, the higher side's. */
export function meanRank(table: readonly RampRow[], ladder: readonly number[]): number {
  return table.reduce((sum, { levelHi }) => sum + ladder[levelHi]!, 0) / Math.max(1, table.length);
}
