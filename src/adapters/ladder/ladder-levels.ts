import type { LevelRule } from '../../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';

/** What the adapter may lose of its delta at level 0 (relative L2), where nothing is said. */
export const DEFAULT_RANK_ERROR_BUDGET = 0.41;
/**
 * Of what level 0 may lose, what each level may that plans choose among: repeated text, three of prose, and where a text
 * turns. One more is the whole adapter. Those of prose lie near each other: levels far apart lose more than one rank for
 * all with the same mean (docs/decisions/adapter-ranks.md).
 */
const LOSS_SHARES = [1, 0.81, 0.74, 0.68, 0.41];
/** Where nothing is said, a level takes no more than this of the highest rank, so that a plan reads less than half. */
const RANK_SHARES = [0.25, 0.375, 0.4375, 0.4375, 0.75];
/**
 * Where nothing is said, no level has more. So what lies above goes to the GPU only when a request asks for it: of rank 64
 * that is half of the bytes.
 */
const MOST_RANK = 32;
export const PLANNED_LEVELS = LOSS_SHARES.length;

/** The rank of every module at every level. */
export interface LevelRanks {
  /** `[level][module]`, not falling from level to level. */
  ranks: number[][];
  /** Over all modules, by level. */
  meanRanks: number[];
}

/**
 * Ranks by level: one for all modules, or as much of it as a module has, which loses less at the same mean rank than
 * cutting each module where it loses its share (docs/decisions/adapter-ranks.md). At level 0 the adapter loses at most the part
 * `rankErrorBudget` of its delta (relative L2 over all modules, in the norm the ladder was built in), at the others
 * LOSS_SHARES of it. One more level is the whole adapter; without a budget no level is above MOST_RANK. Errors:
 * `bad_request` for a budget outside [0, 1].
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

/** Of `share` of the highest rank, what a level takes where nothing is said. */
const mostRank = (share: number, highest: number): number =>
  Math.min(MOST_RANK, Math.max(1, Math.round(share * highest)));

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
