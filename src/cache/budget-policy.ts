import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/page-forms.ts';
import { type LayerPage, totalError } from './cache-page.ts';
import { type CachePolicy, type CacheView, oldPages, pagesBeyondContext } from './policy.ts';

/** What is tried of a page in f16. Merged pages are not: what the latest queries do not look at, later ones may (ARCHITECTURE.md). */
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'k4v2'];

/** A page is tried again once the sequence is this many times as long: by then less may look at it. */
const TRIED_AGAIN = 2;

/**
 * Of each page the form of fewest bytes that moves its layer's attention output (relative L2, largest head) by no more
 * than its part of `errorBudget`. Roundings of pages are independent: the squares of their errors add up. The n-th page is
 * allowed budget · √(2 / n): as tokens come it weighs less, n / N once there are N pages, and so all N together have
 * Σ (2 / n) (n / N)² ≈ 1 times the budget squared, however long the sequence becomes.
 */
export const budgetPolicy = (errorBudget: number): CachePolicy => ({
  key: `policy ${errorBudget}`,
  drops: pagesBeyondContext,
  trials(view) {
    if (errorBudget === 0) return [];
    return oldPages(view)
      .filter(({ now }) => now.form === 'f16' && view.tokens >= TRIED_AGAIN * now.tried)
      .flatMap(({ page, layer }) => FORMS.map((form) => ({ page, layer, form, entries: PAGE_TOKENS })));
  },
  choose(trials, view) {
    const allowed = allowance(errorBudget, view);
    const taken = new Set<LayerPage>();
    return [...trials]
      .sort((a, b) => a.bytes - b.bytes)
      .filter((trial) => {
        const page = view.pages[trial.page]?.layers[trial.layer];
        if (!page || taken.has(page) || !(totalError(page, trial) <= allowed)) return false; // NaN is not within it
        taken.add(page);
        return true;
      });
  },
});

const allowance = (errorBudget: number, { pages }: CacheView): number => errorBudget * Math.sqrt(2 / pages.length);
