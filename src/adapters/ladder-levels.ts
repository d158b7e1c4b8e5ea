import type { LevelRule } from '../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** What level 0 may lose of the adapter's delta (relative L2). */
export const DEFAULT_RANK_ERROR_BUDGET = 0.5;
export const DEFAULT_LEVELS = 4;

/** The rank of every module at every level. */
export interface LevelRanks {
  /** `[level][module]`, not falling from level to level. */
  ranks: number[][];
  /** Over all modules, by level. */
  meanRanks: number[];
}

/**
 * Ranks by level. The last level loses nothing, level 0 the part `rankErrorBudget` of the adapter's delta (relative L2
 * over all modules, in the norm the ladder was built in), those between what lies on a straight line from one to the
 * other. A single level loses nothing. Errors: `bad_request` for a budget outside [0, 1].
 */
export function levelRanks(
  modules: readonly ModuleSpectrum[],
  rankErrorBudget = DEFAULT_RANK_ERROR_BUDGET,
  levels = DEFAULT_LEVELS,
): LevelRanks {
  if (!(rankErrorBudget >= 0 && rankErrorBudget <= 1)) {
    const reason = `must be in [0, 1], not ${rankErrorBudget}`;
    throw new ChunkwiseError('bad_request', { field: 'rankErrorBudget', reason });
  }
  const last = levels - 1;
  const budgetOf = (level: number): number => (level === last ? 0 : rankErrorBudget * (1 - level / last));
  const budgets = Array.from({ length: levels }, (_, level) => budgetOf(level));
  const ranks = ladderRanks(modules, budgets);
  return { ranks, meanRanks: ranks.map(mean) };
}

/** Ranks by level as a plan's rule says; null is the default. Errors: those of `levelRanks`. */
export function ranksByRule(modules: readonly ModuleSpectrum[], rule: LevelRule | null): LevelRanks {
  if (!rule || !('ranks' in rule)) return levelRanks(modules, rule?.rankErrorBudget);
  const ranks = rule.ranks.map((rank) => fixedRanks(modules, rank));
  return { ranks, meanRanks: ranks.map(mean) };
}

/** One rank for all modules, or as much of it as a module has. */
export const fixedRanks = (modules: readonly ModuleSpectrum[], rank: number): number[] =>
  modules.map(({ singularValues }) => Math.min(rank, singularValues.length));

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** What of a module decides its ranks. */
export interface ModuleSpectrum {
  /** Descending. */
  singularValues: ArrayLike<number>;
  /** RMS of the module's input; 1 where the singular values are weighted by it already. */
  activationScale?: number;
}

/** The number of components whose importance, singular value times activation scale, reaches a threshold above 0. */
export function cutSpectrum({ singularValues, activationScale = 1 }: ModuleSpectrum, threshold: number): number {
  let rank = 0;
  while (rank < singularValues.length && singularValues[rank]! * activationScale >= threshold) rank++;
  return rank;
}

/**
 * The ranks of each level: `[level][module]`. A level's budget is the part of the adapter's delta that may be lost
 * (relative L2 over all modules); one threshold for all modules spends it on the least important components. Budgets
 * must be in [0, 1] and not grow from level to level, so that ranks are nested. Errors: `bad_request`.
 */
export function ladderRanks(modules: readonly ModuleSpectrum[], budgets: readonly number[]): number[][] {
  budgets.forEach((budget, i) => {
    if (budget >= 0 && budget <= (budgets[i - 1] ?? 1)) return;
    const reason = `must be in [0, 1] and not grow from level to level, not ${JSON.stringify(budgets)}`;
    throw new ChunkwiseError('bad_request', { field: 'budgets', reason });
  });
  const importances = modules
    .flatMap(({ singularValues, activationScale = 1 }) => Array.from(singularValues, (v) => v * activationScale))
    .filter((importance) => importance > 0)
    .sort((x, y) => x - y);
  return budgets.map((budget) => {
    const threshold = thresholdOf(importances, budget);
    return modules.map((module) => cutSpectrum(module, threshold));
  });
}

/** The least importance that is kept where `ascending` may lose `budget` of its L2 norm. */
function thresholdOf(ascending: readonly number[], budget: number): number {
  const total = ascending.reduce((sum, importance) => sum + importance ** 2, 0);
  let lost = 0;
  for (const importance of ascending) {
    lost += importance ** 2;
    if (lost > budget ** 2 * total) return importance;
  }
  return Infinity;
}
