import { expect, test } from 'vitest';
import { readAdapter } from '../../src/adapters/adapter-file.ts';
import { buildAdapterLadder } from '../../src/adapters/rank-ladder.ts';
import { DEFAULT_RANK_ERROR_BUDGET, fixedRanks, levelRanks } from '../../src/adapters/level-ranks.ts';
import { expectError } from '../support/expect-error.ts';
import { squaredErrors } from './ladder-products.ts';
import { peftSource, tinyAdapter, tinyConfig } from '../support/models/tiny-adapter.ts';

/** Rank levels below that of the whole adapter. */
const PLANNED_LEVELS = 5;

test('a level has the least rank within its loss, over all modules', () => {
  const modules = [{ singularValues: [10, 3, 1, 0.1] }, { singularValues: [4, 4, 0.5] }, { singularValues: [] }];
  const lost = (rank: number): number => {
    const norm = (from: number) => Math.hypot(...modules.flatMap(({ singularValues }) => singularValues.slice(from)));
    return norm(rank) / norm(0);
  };
  for (const budget of [1, 0.5, 0.3, 0.1, 0.05, 0.01, 0]) {
    const [ranks = []] = levelRanks(modules, budget).ranks;
    const rank = Math.max(...ranks);
    expect(ranks).toEqual(fixedRanks(modules, rank));
    expect(lost(rank)).toBeLessThanOrEqual(budget + 1e-12);
    if (rank > 0) expect(lost(rank - 1)).toBeGreaterThan(budget);
  }
  expect(levelRanks([{ singularValues: [] }], 0.5).ranks).toEqual(Array(PLANNED_LEVELS + 1).fill([0]));
});

test('actual losses match the levels: the budget at the first, less at the last, none for the whole adapter', async () => {
  const model = await tinyConfig();
  const adapter = await readAdapter(peftSource(tinyAdapter(model, { seed: 31, rank: 12 })), { config: model });
  const { modules } = buildAdapterLadder(adapter);
  const errors = modules.map((module, i) => squaredErrors(adapter.modules[i]!, module));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const lost = (ranks: readonly number[]): number =>
    Math.sqrt(sum(errors.map((error, i) => error[ranks[i]!]!)) / sum(errors.map((error) => error[0]!)));
  for (const budget of [0.6, 0.3, 1, 0.05, 0]) {
    const { ranks, meanRanks } = levelRanks(modules, budget);
    expect([ranks.length, meanRanks.length]).toEqual([PLANNED_LEVELS + 1, PLANNED_LEVELS + 1]);
    expect(ranks.at(-1)).toEqual(modules.map(({ rank }) => rank));
    ranks.forEach((level, l) => {
      const allowed = [1, 0.81, 0.74, 0.68, 0.41, 0][l]! * budget;
      // 1e-3: loss by binary16 at full rank.
      expect(lost(level)).toBeLessThan(allowed + 1e-3);
      expect(meanRanks[l]).toBeCloseTo(level.reduce((total, rank) => total + rank, 0) / modules.length, 12);
      level.forEach((rank, m) => expect(rank).toBeGreaterThanOrEqual(ranks[l - 1]?.[m] ?? 0));
    });
  }
});

test('by default prose uses less than half of the ranks for any spectrum, and no level more than 32', () => {
  const flat = (rank: number) => [{ singularValues: Array<number>(rank).fill(1) }];
  expect(levelRanks(flat(16)).meanRanks).toEqual([4, 6, 7, 7, 12, 16]);
  expect(levelRanks(flat(64)).meanRanks).toEqual([16, 24, 28, 28, 32, 32]);
  expect(levelRanks(flat(64), 0).meanRanks).toEqual(Array(PLANNED_LEVELS + 1).fill(64));
  expect(levelRanks(flat(1)).meanRanks).toEqual([1, 1, 1, 1, 1, 1]);
  const steep = [{ singularValues: [10, 3, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1] }];
  expect(levelRanks(steep)).toEqual(levelRanks(steep, DEFAULT_RANK_ERROR_BUDGET));
});

test("one rank for all modules is clamped to each module's own", () => {
  const modules = [{ singularValues: [3, 2, 1] }, { singularValues: [5] }, { singularValues: [] }];
  expect([0, 2, 16].map((rank) => fixedRanks(modules, rank))).toEqual([
    [0, 0, 0],
    [2, 1, 0],
    [3, 1, 0],
  ]);
  expect(levelRanks(modules, 0).ranks).toEqual(Array(PLANNED_LEVELS + 1).fill([3, 1, 0]));
});

test.each([-0.1, 1.5, NaN])('a rank error budget of %d is refused', async (budget) => {
  await expectError(() => levelRanks([], budget), 'bad_request', { field: 'rankErrorBudget' });
});
