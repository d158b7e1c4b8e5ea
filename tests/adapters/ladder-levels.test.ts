import { expect, test } from 'vitest';
import { readAdapter } from '../../src/adapters/adapter-file.ts';
import { buildAdapterLadder } from '../../src/adapters/adapter-ladder.ts';
import {
  cutSpectrum,
  DEFAULT_LEVELS,
  DEFAULT_RANK_ERROR_BUDGET,
  fixedRanks,
  ladderRanks,
  levelRanks,
} from '../../src/adapters/ladder-levels.ts';
import { expectError } from '../weights/expect-error.ts';
import { squaredErrors } from './ladder-products.ts';
import { peftSource, tinyAdapter, tinyConfig } from './tiny-adapter.ts';

test('one threshold cuts all spectra: the level loses what it may, and no component less would do', () => {
  const modules = [
    { singularValues: [10, 3, 1, 0.1] },
    { singularValues: [4, 4, 0.5, 0] },
    { singularValues: [1, 0.2], activationScale: 5 },
    { singularValues: [0, 0] },
  ];
  const importance = modules.map(({ singularValues, activationScale = 1 }) =>
    singularValues.map((value) => value * activationScale),
  );
  const norm = (values: number[]): number => Math.hypot(...values);
  const total = norm(importance.flat());
  const budgets = [1, 0.5, 0.3, 0.1, 0.05, 0.01, 0];
  const levels = ladderRanks(modules, budgets);
  expect(levels[0]).toEqual([0, 0, 0, 0]);
  expect(levels.at(-1)).toEqual([4, 3, 2, 0]);
  levels.forEach((ranks, level) => {
    const budget = budgets[level]!;
    const lost = importance.flatMap((values, i) => values.slice(ranks[i]));
    const kept = importance.flatMap((values, i) => values.slice(0, ranks[i]));
    expect(norm(lost)).toBeLessThanOrEqual(budget * total + 1e-9);
    if (kept.length === 0) return;
    // One threshold parts the kept from the lost, and giving up all that lie on it would exceed the budget.
    const least = Math.min(...kept);
    expect(least).toBeGreaterThan(Math.max(...lost, 0));
    expect(norm([...lost, ...kept.filter((value) => value === least)])).toBeGreaterThan(budget * total);
    levels[level - 1]?.forEach((rank, i) => expect(rank).toBeLessThanOrEqual(ranks[i]!));
  });
  expect(modules.map((module) => cutSpectrum(module, 1))).toEqual([3, 2, 2, 0]);
});

test.each([[[0.5, 0.6]], [[-0.1]], [[1.1]], [[NaN]]])('budgets %j are refused', async (budgets) => {
  await expectError(() => ladderRanks([], budgets), 'bad_request', { field: 'budgets' });
});

test('levels lose in fact what they may: nothing at the last, the budget at the first', async () => {
  const model = await tinyConfig();
  const adapter = await readAdapter(peftSource(tinyAdapter(model, { seed: 31, rank: 12 })), { config: model });
  const { modules } = buildAdapterLadder(adapter);
  const errors = modules.map((module, i) => squaredErrors(adapter.modules[i]!, module));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const lost = (ranks: readonly number[]): number =>
    Math.sqrt(sum(errors.map((error, i) => error[ranks[i]!]!)) / sum(errors.map((error) => error[0]!)));
  for (const [budget, levels] of [[0.6, 4], [0.3, 3], [1, 6], [0.5, 1], [0, 4]] as const) {
    const { ranks, meanRanks } = levelRanks(modules, budget, levels);
    expect([ranks.length, meanRanks.length]).toEqual([levels, levels]);
    expect(ranks.at(-1)).toEqual(modules.map(({ rank }) => rank));
    ranks.forEach((level, l) => {
      const allowed = levels === 1 ? 0 : budget * (1 - l / (levels - 1));
      // 1e-3: what binary16 loses at full rank.
      expect(lost(level)).toBeLessThan(allowed + 1e-3);
      expect(lost(level)).toBeGreaterThan(0.8 * allowed - 1e-3);
      expect(meanRanks[l]).toBeCloseTo(sum(level) / modules.length, 12);
      level.forEach((rank, m) => expect(rank).toBeGreaterThanOrEqual(ranks[l - 1]?.[m] ?? 0));
    });
  }
  expect(levelRanks(modules)).toEqual(levelRanks(modules, DEFAULT_RANK_ERROR_BUDGET, DEFAULT_LEVELS));
});

test('one rank for all is at most what a module has', () => {
  const modules = [{ singularValues: [3, 2, 1] }, { singularValues: [5] }, { singularValues: [] }];
  expect([0, 2, 16].map((rank) => fixedRanks(modules, rank))).toEqual([[0, 0, 0], [2, 1, 0], [3, 1, 0]]);
  expect(levelRanks(modules, 0, 2)).toEqual({ ranks: [[3, 1, 0], [3, 1, 0]], meanRanks: [4 / 3, 4 / 3] });
});

test.each([-0.1, 1.5, NaN])('a rank error budget of %d is refused', async (budget) => {
  await expectError(() => levelRanks([], budget), 'bad_request', { field: 'rankErrorBudget' });
});
