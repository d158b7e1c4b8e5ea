import type { LevelRule } from '../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** What a module may lose of its delta at level 0 (relative L2). */
export const DEFAULT_RANK_ERROR_BUDGET = 0.5;
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
 * Ranks by level: one for all modules, or as much of it as a module has, which loses less at the same mean rank than
 * cutting each module where it loses its share (ARCHITECTURE.md). At level 0 the adapter loses at most the part
 * `rankErrorBudget` of its delta (relative L2 over all modules, in the norm the ladder was built in), at the last of
 * `levels` LAST_SHARE of it, and at those between what lies on a straight line from one to the other. One more level is
 * the whole adapter. Errors: `bad_request` for a budget outside [0, 1].
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
  const budgetOf = (level: number): number => rankErrorBudget * (1 - ((1 - LAST_SHARE) * level) / steps);
  const lost = lostByRank(modules);
  const chosen = Array.from({ length: levels }, (_, level) => lost.findIndex((part) => part <= budgetOf(level)));
  const ranks = [...chosen, lost.length - 1].map((rank) => fixedRanks(modules, rank));
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

/** What all modules together lose of their delta at rank 0, 1, …: relative L2, 0 at the highest rank. */
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
