import { describe, expect, test } from 'vitest';
import { budgetPolicy } from '../../src/cache/budget-policy.ts';
import type { CachePage, LayerPage, Trial } from '../../src/cache/cache-page.ts';
import type { CachePolicy, CacheView } from '../../src/cache/policy.ts';
import { LayerErrors } from '../../src/cache/layer-errors.ts';
import { PAGE_TOKENS, pageBytes } from '../../src/kernels/heads.ts';
import { pageUnits, type QuantizedForm, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { Random } from '../support/random.ts';

const HEADS = { numKvHeads: 3, headDim: 64 };
const NEW: LayerPage = { form: 'f16', entries: PAGE_TOKENS, place: { offset: 0, units: pageUnits('f16', HEADS) }, tried: 0, mass: 0 };

const pagesOf = (count: number, layers = 1): CachePage[] =>
  Array.from({ length: count }, (_, i) => ({ base: i * PAGE_TOKENS, layers: Array.from({ length: layers }, () => ({ ...NEW })) }));

const viewOf = (pages: readonly CachePage[], tokens = pages.length * PAGE_TOKENS, probed = new LayerErrors()): CacheView => ({
  probed,
  ...{ pages, tokens, upcoming: 1, keptPages: 1, contextLength: 4096 },
  halfBytes: pageBytes(HEADS) * (pages[0]?.layers.length ?? 0),
});

interface Probing {
  policy: CachePolicy;
  probed: LayerErrors;
}

const probing = (errorBudget: number): Probing => ({ policy: budgetPolicy(errorBudget), probed: new LayerErrors() });

/** Probes what the policy tries, and gives the pages the forms it wants; returns what was told and what was tried. */
function settle({ policy, probed }: Probing, pages: CachePage[], errorOf: (layer: number, form: QuantizedForm) => number) {
  const view = viewOf(pages, pages.length * PAGE_TOKENS, probed);
  const changes = policy.changes?.(view) ?? [];
  const trials = (policy.trials?.(view) ?? []).map((change): Trial => {
    const bytes = pageUnits(change.form, HEADS, change.entries) * UNIT_BYTES;
    const error = errorOf(change.layer, change.form as QuantizedForm);
    return { ...change, bytes, mass: 0, error, headErrors: [error] };
  });
  for (const trial of trials) probed.add(trial, pages.length);
  const taken = policy.choose?.(trials, view) ?? [];
  for (const { page, layer, form } of [...changes, ...taken]) {
    const old = pages[page] as CachePage;
    pages[page] = { ...old, layers: old.layers.with(layer, { ...NEW, form, tried: view.tokens }) };
  }
  for (const { page, layer } of trials) (pages[page]?.layers[layer] as LayerPage).tried = view.tokens;
  return { changes, trials, taken };
}

const formsOf = (pages: readonly CachePage[], layer: number): string[] => pages.map(({ layers }) => layers[layer]?.form ?? '');

describe('what is tried', () => {
  test('neither the first page nor the last full one nor one that is not full; nothing with a budget of 0', () => {
    const view = viewOf(pagesOf(6, 2), 5 * PAGE_TOKENS + 3);
    const trials = budgetPolicy(0.1).trials?.(view) ?? [];
    expect([...new Set(trials.map(({ page }) => page))]).toEqual([1, 2, 3]);
    expect([...new Set(trials.map(({ layer }) => layer))]).toEqual([0, 1]);
    expect(budgetPolicy(0).trials?.(view)).toEqual([]);
    expect(budgetPolicy(0).changes?.(view)).toEqual([]);
    expect(budgetPolicy(0.1).trials?.(viewOf(pagesOf(2)))).toEqual([]);
  });

  test('the first pages and a few of the later ones; the others are told by what those say', () => {
    const policy = probing(0.5);
    const pages = pagesOf(6);
    const triedOf = (found: Pick<ReturnType<typeof settle>, 'trials'>): Set<number> => new Set(found.trials.map(({ page }) => page));
    expect(triedOf(settle(policy, pages, () => 0.01))).toEqual(new Set([1, 2, 3, 4]));
    // What weighed so much among six pages weighs less among twenty.
    expect(policy.probed.of(0, 'q4', 20).error).toBeCloseTo((0.01 * 6) / 20, 10);
    pages.push(...pagesOf(14));
    const { changes, ...later } = settle(policy, pages, () => 0.01);
    expect(triedOf(later)).toEqual(new Set([8, 12, 16]));
    const pagesOfForm = (isResting: boolean) => changes.filter(({ form }) => (form === 'q8') === isResting).map(({ page }) => page);
    expect(pagesOfForm(false)).toEqual([5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18]);
    // The others rest in q8: the first one, those that are being tried, the last full one.
    expect(pagesOfForm(true)).toEqual([0, 8, 12, 16, 19]);
  });

  test('where nothing is known every page', () => {
    const { trials } = settle(probing(0.5), pagesOf(20), () => 0.001);
    expect(new Set(trials.map(({ page }) => page)).size).toBe(18);
  });
});

describe('what a layer takes', () => {
  const ERRORS: Record<QuantizedForm, number> = { q8: 0.001, q4: 0.01, q3: 0.03, k3v2: 0.1 };

  test('the smaller a form the more its layer bears, and the first page and the last full one q8', () => {
    const policy = probing(0.3);
    const pages = pagesOf(40, 3);
    const scales = [0.3, 3, 300];
    const errorOf = (layer: number, form: QuantizedForm): number => ERRORS[form] * (scales[layer] as number);
    settle(policy, pages, errorOf);
    settle(policy, pages, errorOf);
    const inner = (layer: number): Set<string> => new Set(formsOf(pages, layer).slice(1, -1));
    expect(inner(0)).toEqual(new Set(['q3']));
    expect(inner(1)).toEqual(new Set(['q4']));
    expect(inner(2)).toEqual(new Set(['f16']));
    expect([0, 1, 2].map((layer) => [formsOf(pages, layer)[0], formsOf(pages, layer).at(-1)])).toEqual([['q8', 'q8'], ['q8', 'q8'], ['f16', 'f16']]);
  });

  test('follows all pages probed, not one of them; what is not a number is not taken', () => {
    const policy = probing(0.1);
    const pages = pagesOf(40);
    let probed = 0;
    // One page whose latest queries do not look at it, among others that matter.
    settle(policy, pages, (_, form) => (probed++ < 3 ? 1e-6 : ERRORS[form] * 3));
    expect(formsOf(pages, 0)).not.toContain('q3');
    const unknown = pagesOf(40);
    settle(probing(0.1), unknown, () => NaN);
    expect(new Set(formsOf(unknown, 0))).toEqual(new Set(['f16']));
  });
});

test('however long a text becomes, its pages together stay within the budget', () => {
  const budget = 0.05;
  const policy = probing(budget);
  const random = new Random(61);
  const pages: CachePage[] = [];
  /** What each page's form did to it, times the tokens there were by then. */
  const errors = new Map<LayerPage, number>();
  for (let count = 1; count <= 400; count++) {
    pages.push({ base: (count - 1) * PAGE_TOKENS, layers: [{ ...NEW }] });
    settle(policy, pages, (_, form) => 0.01 * random.next() * { q8: 0.1, q4: 1, q3: 3, k3v2: 10 }[form]);
    for (const { layers: [layer] } of pages) {
      if (layer && layer.form !== 'f16' && !errors.has(layer)) errors.set(layer, policy.probed.of(0, layer.form, count).error * count);
    }
    const squares = [...errors.values()].map((error) => (error / count) ** 2);
    // The root mean square of what was probed so far may lie a little below that of the page itself.
    expect(Math.sqrt(squares.reduce((sum, square) => sum + square, 0))).toBeLessThan(1.2 * budget);
  }
  expect(formsOf(pages, 0).filter((form) => form !== 'f16').length).toBeGreaterThan(300);
});
