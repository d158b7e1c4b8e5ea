import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/formats/page-forms.ts';
import type { Change } from './cache-page.ts';
import { type CachePolicy, type CacheView, numLayers, oldPages, pagesBeyondContext } from './policy.ts';

/**
 * What a page may be written as. Merged pages are not: what the latest queries do not look at, later ones may. Nor is k3v2: which
 * layers bear it probes of single pages do not tell (docs/decisions/kv-cache.md).
 */
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3'];

/** Every page up to this one is probed, and every so manieth after it. */
const PROBED_PAGES = 4;

/** What all the error that a page is allowed costs, where all of its bytes in f16 cost 1. */
const PRICE = 1 / 20;

/**
 * Of each page the form that costs least: its bytes over those of f16, and PRICE times the square of the error that it
 * brings to its layer's attention output (relative L2, largest head) over what a page is allowed. What the latest queries say
 * of one page is noise; what they say of all pages probed so far tells how much the layer bears (`LayerErrors`).
 *
 * Roundings of pages are independent: the squares of their errors add up. The n-th page is allowed budget · √(2 / n): as
 * tokens come it weighs less, n / N once there are N pages, and so all N together have Σ (2 / n) (n / N)² ≈ 1 times the
 * budget squared, however long the sequence becomes.
 */
export const budgetPolicy = (errorBudget: number): CachePolicy => ({
  key: `policy ${errorBudget}`,
  drops: pagesBeyondContext,

  changes(view) {
    const pages = untouched(errorBudget, view).filter((old) => old.now.tried > 0 || !isProbed(old, view));
    const others = pages.flatMap(({ page, layer }): Change[] => {
      const form = bestForm(errorBudget, view, layer);
      return form ? [{ page, layer, form, entries: PAGE_TOKENS }] : [];
    });
    return [...firstPage(errorBudget, view), ...others];
  },

  trials(view) {
    const pages = untouched(errorBudget, view).filter((old) => old.now.tried === 0 && isProbed(old, view));
    return pages.flatMap(({ page, layer }) => formsToTry(errorBudget, view, layer).map((form) => ({ page, layer, form, entries: PAGE_TOKENS })));
  },

  choose: (trials, view) => trials.filter(({ layer, form }) => bestForm(errorBudget, view, layer) === form),
});

/**
 * The first page, which every token attends to, in q8 where the layer's others have fewer bits: it has up to sixteen times as
 * much of the attention as one of them, and q8 errs a sixteenth as much as q4.
 */
function firstPage(errorBudget: number, view: CacheView): Change[] {
  const layers = view.pages[0]?.layers ?? [];
  return layers.flatMap(({ form }, layer): Change[] => {
    const others = bestForm(errorBudget, view, layer);
    return form === 'f16' && others && others !== 'q8' ? [{ page: 0, layer, form: 'q8', entries: PAGE_TOKENS }] : [];
  });
}

const untouched = (errorBudget: number, view: CacheView) =>
  errorBudget === 0 ? [] : oldPages(view).filter(({ now }) => now.form === 'f16');

const isProbed = ({ page, layer }: { page: number; layer: number }, { probed }: CacheView): boolean =>
  page <= PROBED_PAGES || page % PROBED_PAGES === 0 || !probed.has(layer);

/** All, and once one is known to do those next to it: the others would be written to be thrown away. */
function formsToTry(errorBudget: number, view: CacheView, layer: number): readonly QuantizedForm[] {
  const best = bestForm(errorBudget, view, layer);
  if (best === undefined) return FORMS;
  const at = FORMS.indexOf(best);
  return FORMS.slice(Math.max(0, at - 1), at + 2);
}

/** None where f16 costs least. */
function bestForm(errorBudget: number, view: CacheView, layer: number): QuantizedForm | undefined {
  const { pages, probed, halfBytes } = view;
  const allowed = errorBudget * Math.sqrt(2 / pages.length);
  let best: QuantizedForm | undefined;
  let least = 1;
  for (const form of FORMS) {
    const { error, bytes } = probed.of(layer, form, pages.length);
    const cost = PRICE * (error / allowed) ** 2 + (bytes * numLayers(view)) / halfBytes;
    if (error <= allowed && cost < least) [best, least] = [form, cost]; // NaN is not within it
  }
  return best;
}
