import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/formats/page-forms.ts';
import type { Change } from './cache-page.ts';
import { type CachePolicy, type CacheView, isWhole, numLayers, oldPages, pagesBeyondContext } from './policy.ts';

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
    const pages = undecided(errorBudget, view).filter((old) => old.now.tried > 0 || !isProbed(old, view));
    const decided = pages.flatMap(({ page, layer, now }): Change[] => {
      const form = bestForm(errorBudget, view, layer);
      return form && form !== now.form ? [{ page, layer, form, entries: PAGE_TOKENS }] : [];
    });
    const isDecided = new Set(decided.map(({ page, layer }) => `${page} ${layer}`));
    return [...decided, ...resting(errorBudget, view).filter(({ page, layer }) => !isDecided.has(`${page} ${layer}`))];
  },

  trials(view) {
    const pages = undecided(errorBudget, view).filter((old) => old.now.tried === 0 && isProbed(old, view));
    return pages.flatMap(({ page, layer, now }) =>
      formsToTry(errorBudget, view, layer).flatMap((form) => (form === now.form ? [] : [{ page, layer, form, entries: PAGE_TOKENS }])),
    );
  },

  choose: (trials, view) => trials.filter(({ layer, form }) => bestForm(errorBudget, view, layer) === form),
});

/**
 * Full pages in f16 rest in q8 until their form is decided, where their layer bears fewer bits: what q8 loses is a sixteenth of
 * what q4 does. The first page, which every token attends to, stays so.
 */
function resting(errorBudget: number, view: CacheView): Change[] {
  const full = view.pages.slice(0, Math.floor(view.tokens / PAGE_TOKENS));
  return full.flatMap(({ layers }, page) =>
    layers.flatMap(({ form }, layer): Change[] => {
      const bears = form === 'f16' && bestForm(errorBudget, view, layer) !== undefined;
      return bears ? [{ page, layer, form: 'q8', entries: PAGE_TOKENS }] : [];
    }),
  );
}

const undecided = (errorBudget: number, view: CacheView) => (errorBudget === 0 ? [] : oldPages(view).filter(({ now }) => isWhole(now)));

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
