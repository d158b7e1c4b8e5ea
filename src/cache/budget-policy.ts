import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { SmallerForm } from '../kernels/page-forms.ts';
import { type LayerPage, totalError } from './cache-page.ts';
import { type CachePolicy, type CacheView, oldPages } from './policy.ts';

/** What is tried, the most bytes first. */
const FORMS: readonly { form: SmallerForm; entries: number }[] = [
  { form: 'q8', entries: PAGE_TOKENS },
  { form: 'q4', entries: PAGE_TOKENS },
  { form: 'q2', entries: PAGE_TOKENS },
  { form: 'sparse', entries: 3 },
  { form: 'sparse', entries: 1 },
];

/** A page is tried again once the sequence is this many times as long: by then less may look at it. */
const TRIED_AGAIN = 2;

/** Those that take fewer bytes than a page has now. Only f16 is quantised: what is quantised already is merged. */
const smaller = ({ form, entries }: LayerPage) =>
  form === 'f16'
    ? FORMS
    : FORMS.slice(1 + FORMS.findIndex((each) => each.form === form && each.entries === entries)).filter((each) => each.form === 'sparse');

/**
 * Of each page the form of fewest bytes that moves its layer's attention output (relative L2, largest head) by no more
 * than its part of `errorBudget`. Roundings of pages are independent: the squares of their errors add up. The n-th page is
 * allowed budget · √(2 / n): as tokens come it weighs less, n / N once there are N pages, and so all N together have
 * Σ (2 / n) (n / N)² ≈ 1 times the budget squared, however long the sequence becomes.
 */
export const budgetPolicy = (errorBudget: number): CachePolicy => ({
  key: `policy ${errorBudget}`,
  changes(view) {
    if (errorBudget === 0) return [];
    return oldPages(view)
      .filter(({ now }) => view.tokens >= TRIED_AGAIN * now.tried)
      .flatMap(({ page, layer, now }) => smaller(now).map((each) => ({ page, layer, ...each })));
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
