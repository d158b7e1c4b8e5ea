import type { LayerPage, Trial } from './cache-page.ts';
import { type CachePolicy, type CacheView, oldPages } from './policy.ts';

/**
 * Of each page the form of fewest bytes with which the attention output of its layer stays within `errorBudget`
 * (relative L2, largest head): squares of the errors of a layer's pages add up, since their roundings are independent.
 */
export const budgetPolicy = (errorBudget: number): CachePolicy => ({
  key: `policy ${errorBudget}`,
  changes(view) {
    if (errorBudget === 0) return [];
    return oldPages(view).flatMap((at) => [{ ...at, form: 'q4' as const }, { ...at, form: 'q8' as const }]);
  },
  choose(trials, view) {
    const chosen: Trial[] = [];
    const spent = new Map<number, number>();
    const taken = new Set<LayerPage>();
    for (const trial of [...trials].sort((a, b) => a.bytes - b.bytes || a.error - b.error)) {
      const page = view.pages[trial.page]?.layers[trial.layer];
      const before = spent.get(trial.layer) ?? spentBy(view, trial.layer);
      if (!page || taken.has(page) || before + trial.error ** 2 > errorBudget ** 2) continue;
      taken.add(page);
      spent.set(trial.layer, before + trial.error ** 2);
      chosen.push(trial);
    }
    return chosen;
  },
});

/** Squared error of the forms that a layer's pages have. The more tokens have come since, the less a page weighs. */
function spentBy({ pages, tokens }: CacheView, layer: number): number {
  return pages.reduce((sum, { layers }) => {
    const { error = 0, length = 0 } = layers[layer] ?? {};
    return sum + (error * (length / tokens)) ** 2;
  }, 0);
}
