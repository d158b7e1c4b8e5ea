import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/page-forms.ts';
import type { Change, Trial } from './cache-page.ts';
import { type CachePolicy, type CacheView, oldPages, pagesBeyondContext } from './policy.ts';

/** What a page may be written as. Merged pages are not: what the latest queries do not look at, later ones may (ARCHITECTURE.md). */
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'k4v2'];

/** Every page up to this one is probed, and every so manieth after it. */
const PROBED_PAGES = 4;

/**
 * Of each page the form that costs least: the square of the error that it brings to its layer's attention output
 * (relative L2, largest head) over what a page is allowed, and its bytes over those of f16. What the latest queries say
 * of one page is noise; what they say of all pages probed so far tells how much the layer bears. So the error of a form
 * is taken to be the root mean square over the layer's probed pages.
 *
 * Roundings of pages are independent: the squares of their errors add up. The n-th page is allowed budget · √(2 / n): as
 * tokens come it weighs less, n / N once there are N pages, and so all N together have Σ (2 / n) (n / N)² ≈ 1 times the
 * budget squared, however long the sequence becomes.
 */
export function budgetPolicy(errorBudget: number): CachePolicy {
  const layers = new LayerErrors();
  const formOf = (layer: number, allowed: number): { form: QuantizedForm; error: number } | undefined => {
    let best: { form: QuantizedForm; error: number } | undefined;
    let least = 1; // of f16
    for (const form of FORMS) {
      const { error, share } = layers.of(layer, form);
      const cost = (error / allowed) ** 2 + share;
      if (error <= allowed && cost < least) [best, least] = [{ form, error }, cost];
    }
    return best;
  };
  return {
    key: `policy ${errorBudget}`,
    drops: pagesBeyondContext,
    changes: (view) =>
      errorBudget === 0
        ? []
        : oldPages(view)
            .filter(({ page, now }) => now.form === 'f16' && !isProbed(page))
            .flatMap(({ page, layer }): Change[] => {
              const best = formOf(layer, allowance(errorBudget, view));
              return best ? [{ page, layer, ...best, entries: PAGE_TOKENS }] : [];
            }),
    trials: (view) =>
      errorBudget === 0
        ? []
        : oldPages(view)
            .filter(({ page, now }) => now.form === 'f16' && now.tried === 0 && isProbed(page))
            .flatMap(({ page, layer }) => FORMS.map((form) => ({ page, layer, form, entries: PAGE_TOKENS }))),
    choose(trials, view) {
      for (const trial of trials) layers.add(trial, view);
      return trials.filter(({ layer, form }) => formOf(layer, allowance(errorBudget, view))?.form === form);
    },
  };
}

const isProbed = (page: number): boolean => page <= PROBED_PAGES || page % PROBED_PAGES === 0;

const allowance = (errorBudget: number, { pages }: CacheView): number => errorBudget * Math.sqrt(2 / pages.length);

/** What forms cost in each layer, by the pages probed so far. */
class LayerErrors {
  readonly #found = new Map<string, { squares: number; count: number; share: number }>();

  add({ layer, form, error, bytes }: Trial, { halfBytes, pages }: CacheView): void {
    const key = `${layer} ${form}`;
    const found = this.#found.get(key) ?? { squares: 0, count: 0, share: (bytes * (pages[0]?.layers.length ?? 1)) / halfBytes };
    found.squares += error ** 2;
    found.count++;
    this.#found.set(key, found);
  }

  /** Root mean square, and bytes over those of f16; NaN where nothing was probed. */
  of(layer: number, form: QuantizedForm): { error: number; share: number } {
    const { squares = NaN, count = 1, share = NaN } = this.#found.get(`${layer} ${form}`) ?? {};
    return { error: Math.sqrt(squares / count), share };
  }
}
