import { describe, expect, test } from 'vitest';
import { budgetPolicy } from '../../src/cache/budget-policy.ts';
import { type CachePage, type Change, type LayerPage, totalError, type Trial } from '../../src/cache/cache-page.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { pageUnits, UNIT_BYTES } from '../../src/kernels/page-forms.ts';
import { Random } from '../weights/random.ts';

const HEADS = { numKvHeads: 3, headDim: 64 };
const NEW: LayerPage = { form: 'f16', entries: PAGE_TOKENS, place: { offset: 0, units: 0 }, error: 0, length: 0, tried: 0 };

const pagesOf = (count: number, layers = 1): CachePage[] =>
  Array.from({ length: count }, (_, i) => ({ base: i * PAGE_TOKENS, layers: Array.from({ length: layers }, () => ({ ...NEW })) }));

const trialOf = (change: Change, error: number): Trial => ({
  ...change,
  error,
  bytes: pageUnits(change.form, HEADS, change.entries) * UNIT_BYTES,
});

describe('what is tried', () => {
  test('neither the first page nor the last full one nor one that is not full; nothing with a budget of 0', () => {
    const view = { pages: pagesOf(6, 2), tokens: 5 * PAGE_TOKENS + 3 };
    const changes = budgetPolicy(0.1).trials?.(view);
    expect([...new Set(changes.map(({ page }) => page))]).toEqual([1, 2, 3]);
    expect([...new Set(changes.map(({ layer }) => layer))]).toEqual([0, 1]);
    expect(budgetPolicy(0).trials?.(view)).toEqual([]);
    expect(budgetPolicy(0.1).trials?.({ pages: pagesOf(2), tokens: 2 * PAGE_TOKENS })).toEqual([]);
  });

  test('pages in f16, again once the text is twice as long', () => {
    const pages = pagesOf(12);
    pages[1] = { base: PAGE_TOKENS, layers: [{ ...NEW, tried: 100 }] };
    pages[2] = { base: 2 * PAGE_TOKENS, layers: [{ ...NEW, form: 'q4', tried: 100 }] };
    const triedAt = (tokens: number) => new Set(budgetPolicy(0.1).trials?.({ pages, tokens }).map(({ page }) => page));
    expect(triedAt(199)).toEqual(new Set([3, 4]));
    expect(triedAt(200)).toEqual(new Set([1, 3, 4]));
  });
});

describe('what is taken', () => {
  const view = { pages: pagesOf(8, 2), tokens: 8 * PAGE_TOKENS };
  const allowed = 0.1 * Math.sqrt(2 / 8);
  const at = (page: number, layer = 0) => ({ page, layer });

  test('of each page the fewest bytes within its part of the budget', () => {
    const trials = [
      trialOf({ ...at(1), form: 'q8', entries: PAGE_TOKENS }, 0.001),
      trialOf({ ...at(1), form: 'q4', entries: PAGE_TOKENS }, allowed * 0.99),
      trialOf({ ...at(1), form: 'k4v2', entries: PAGE_TOKENS }, allowed * 1.01),
      trialOf({ ...at(2), form: 'q8', entries: PAGE_TOKENS }, allowed * 1.01),
      trialOf({ ...at(2, 1), form: 'sparse', entries: 1 }, 0),
    ];
    expect(new Set(budgetPolicy(0.1).choose?.(trials, view))).toEqual(new Set([trials[1], trials[4]]));
  });

  test('what a page is off already counts; what is not a number is not taken', () => {
    const pages = pagesOf(8);
    pages[1] = { base: PAGE_TOKENS, layers: [{ ...NEW, form: 'q4', error: allowed * 0.8 }] };
    const within = trialOf({ ...at(1), form: 'sparse', entries: 3 }, allowed * 0.59);
    const beyond = trialOf({ ...at(1), form: 'sparse', entries: 1 }, allowed * 0.61);
    const unknown = trialOf({ ...at(2), form: 'q4', entries: PAGE_TOKENS }, NaN);
    expect(budgetPolicy(0.1).choose?.([within, beyond, unknown], { pages, tokens: 256 })).toEqual([within]);
  });
});

test('however long a text becomes, its pages together stay within the budget', () => {
  const budget = 0.05;
  const policy = budgetPolicy(budget);
  const random = new Random(61);
  const pages: CachePage[] = [];
  for (let count = 1; count <= 400; count++) {
    pages.push({ base: (count - 1) * PAGE_TOKENS, layers: [{ ...NEW }] });
    const view = { pages, tokens: count * PAGE_TOKENS };
    // As if every page took whatever error it is allowed.
    const trials = policy.trials?.(view).map((change) => trialOf(change, 0.3 * random.next() ** 4));
    for (const trial of policy.choose?.(trials, view) ?? []) {
      const page = pages[trial.page];
      const layer = page?.layers[0];
      if (!page || !layer) throw new Error('no such page');
      const { form, entries } = trial;
      pages[trial.page] = { ...page, layers: [{ ...layer, form, entries, error: totalError(layer, trial), length: view.tokens, tried: view.tokens }] };
    }
    for (const { page } of trials) (pages[page]?.layers[0] as LayerPage).tried = view.tokens;
    const squares = pages.map(({ layers: [layer] }) => ((layer?.error ?? NaN) * ((layer?.length ?? NaN) / view.tokens)) ** 2);
    expect(Math.sqrt(squares.reduce((sum, square) => sum + square, 0))).toBeLessThan(budget);
  }
  expect(pages.filter(({ layers: [layer] }) => layer?.form !== 'f16').length).toBeGreaterThan(300);
});
