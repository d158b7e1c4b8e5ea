import type { LevelRule } from '../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** What a module may lose of its delta at level 0 (relative L2). */
export const DEFAULT_RANK_ERROR_BUDGET = 0.45;
/** Those that plans choose among; one more is the whole adapter. */
export const DEFAULT_LEVELS = 4;
/** Of what level 0 may lose, what the last of them may. */
const LAST_SHARE = 0.4;

/** The rank of every module at every level. */
export interface LevelRanks {
  /** `[level][module]`, not falling from level to level. */
  ranks: number[][];
  /** Over all modules, by level. */
  meanRanks: number[];
}

/**
 * Ranks by level. At level 0 every module loses at most the part `rankErrorBudget` of its delta (relative L2, in the
 * norm the ladder was built in), at the last of `levels` LAST_SHARE of it, and at those between what lies on a straight line
 * from one to the other: levels further apart lose more at the same mean rank (ARCHITECTURE.md). One more level is the
 * whole adapter. Errors: `bad_request` for a budget outside [0, 1].
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
  const steps = Math.max(1, levels - 1);
  const budgetOf = (level: number): number => (level === levels ? 0 : rankErrorBudget * (1 - ((1 - LAST_SHARE) * level) / steps));
  const ranks = Array.from({ length: levels + 1 }, (_, level) => modules.map((module) => rankWithin(module, budgetOf(level))));
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
}

/**
 * The least rank at which a module loses at most the part `budget` of its delta (relative L2). One threshold for the
 * singular values of all modules was tried and lost more: see ARCHITECTURE.md.
 */
export function rankWithin({ singularValues }: ModuleSpectrum, budget: number): number {
  const squares = Array.from(singularValues, (value) => value ** 2);
  const allowed = budget ** 2 * squares.reduce((sum, square) => sum + square, 0);
  let rank = squares.length;
  let lost = 0;
  while (rank > 0 && lost + (squares[rank - 1] as number) <= allowed) lost += squares[--rank] as number;
  return rank;
}
