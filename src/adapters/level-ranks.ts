import type { LevelRule } from '../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Default loss of the adapter's delta at rank level 0 (relative L2). */
export const DEFAULT_RANK_ERROR_BUDGET = 0.41;
/**
 * Allowed loss of each rank level, relative to level 0: repeated text, three levels of prose, and turns of a text. The whole
 * adapter is one more level. The prose levels are close together: distant levels lose more than a single rank of the same
 * mean (docs/decisions/adapter-ranks.md).
 */
const LOSS_SHARES = [1, 0.81, 0.74, 0.68, 0.41];
/** By default, most rank of each level relative to the highest, so that a plan reads less than half. */
const RANK_SHARES = [0.25, 0.375, 0.4375, 0.4375, 0.75];
/**
 * By default, highest rank of any level. Higher components are uploaded only if a request asks for them: for rank 64 that
 * saves half of the bytes.
 */
const MOST_RANK = 32;

/** Ranks of all modules by rank level. */
interface LevelRanks {
  /** `[level][module]`, non-decreasing over levels. */
  ranks: number[][];
  /** Mean over all modules, by level. */
  meanRanks: number[];
}

/**
 * Ranks by level: one rank for all modules, clamped to a module's own. At the same mean rank, that loses less than a rank
 * per module by its own loss (docs/decisions/adapter-ranks.md). Level 0 loses at most `rankErrorBudget` of the adapter's
 * delta (relative L2 over all modules, in the ladder's norm), the others LOSS_SHARES of that. The last level is the whole
 * adapter; without a budget it is limited to MOST_RANK. Errors: `bad_request` for a budget outside [0, 1].
 */
export function levelRanks(modules: readonly ModuleSpectrum[], rankErrorBudget?: number): LevelRanks {
  const budget = rankErrorBudget ?? DEFAULT_RANK_ERROR_BUDGET;
  if (!(budget >= 0 && budget <= 1)) {
    throw new ChunkwiseError('bad_request', { field: 'rankErrorBudget', reason: `must be from 0 to 1, not ${budget}` });
  }
  const lost = lostByRank(modules);
  const highest = lost.length - 1;
  const most = rankErrorBudget === undefined ? [...RANK_SHARES, 1].map((share) => mostRank(share, highest)) : [];
  const ranks = [...LOSS_SHARES, 0].map((share, level) => {
    const rank = lost.findIndex((part) => part <= budget * share);
    return fixedRanks(modules, Math.min(rank, most[level] ?? highest));
  });
  return { ranks, meanRanks: ranks.map(mean) };
}

/** Highest rank of a level by default, from its share of the adapter's highest. */
const mostRank = (share: number, highest: number): number =>
  Math.min(MOST_RANK, Math.max(1, Math.round(share * highest)));

/** Ranks by level for a plan's rule; null: the default. Errors: those of `levelRanks`. */
export function ranksByRule(modules: readonly ModuleSpectrum[], rule: LevelRule | null): LevelRanks {
  if (!rule || !('ranks' in rule)) return levelRanks(modules, rule?.rankErrorBudget);
  const ranks = rule.ranks.map((rank) => fixedRanks(modules, rank));
  return { ranks, meanRanks: ranks.map(mean) };
}

/** One rank for all modules, clamped to each module's own. */
export const fixedRanks = (modules: readonly ModuleSpectrum[], rank: number): number[] =>
  modules.map(({ singularValues }) => Math.min(rank, singularValues.length));

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** The part of a module that decides its ranks. */
interface ModuleSpectrum {
  /** Descending. */
  singularValues: ArrayLike<number>;
}

/** Relative L2 loss of all modules' delta at rank 0, 1, …; 0 at the highest rank. */
function lostByRank(modules: readonly ModuleSpectrum[]): number[] {
  const highest = Math.max(0, ...modules.map(({ singularValues }) => singularValues.length));
  const squares = Array.from({ length: highest + 1 }, (_, rank) =>
    modules.reduce((sum, { singularValues }) => sum + (singularValues[rank] ?? 0) ** 2, 0),
  );
  const total = squares.reduce((sum, square) => sum + square, 0);
  const lost: number[] = [];
  for (let rank = highest, sum = 0; rank >= 0; rank--) {
    sum += squares[rank] as number;
    lost[rank] = total === 0 ? 0 : Math.sqrt(sum / total);
  }
  return lost;
}
