import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/formats/page-forms.ts';
import type { Change } from './cache-page.ts';
import {
  type CachePolicy,
  type CacheView,
  fullPages,
  isWhole,
  LEAST_PAGES,
  numLayers,
  oldPages,
  pagesBeyondContext,
  type Probe,
} from './policy.ts';

/** What the pages of a layer may be written as, largest first. Merged pages are not: what the latest queries do not look at, later ones may. */
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3', 'k3v2'];

/** Pages of a sequence when its layers are probed, at first and at last; between these every so many. */
const FIRST_PROBE = 8;
const LAST_PROBE = 16;
const PROBE_EVERY = 4;

/** From this loss on pages rest in q8, which loses 2e-5 (docs/decisions/kv-cache.md). */
const RESTS_FROM = 0.001;

/**
 * Every layer's pages take one form. Which ones: as few bytes as there can be while the loss of all layers, estimated, is at
 * most `loss`. What a form loses is what all old pages in it at once change of the layer's attention output, square, over
 * all heads, times what of the residual stream that is (`residualShares`); losses of layers add up. The sum is about what
 * the next token's distribution is off by: KL divergence in nats (docs/decisions/kv-cache.md).
 *
 * Layers are probed by the latest queries at 8, 12 and 16 pages, or where a text next stands. Until then full pages rest
 * in q8, or in f16 where even that would lose too much; what q8 does is probed before the first ones take it. The first
 * page, which every token attends to, stays so.
 */
export const budgetPolicy = (loss: number): CachePolicy => ({
  key: `policy ${loss}`,
  drops: pagesBeyondContext,

  changes(view) {
    const full = fullPages(view);
    if (loss === 0 || full.length / numLayers(view) < LEAST_PAGES) return [];
    const decided = formsOfLayers(loss, view);
    const isOld = new Set(oldPages(view).map(({ page }) => page));
    return full.flatMap(({ page, layer, now }): Change[] => {
      const form = (isOld.has(page) && decided?.[layer]) || restingForm(loss);
      return form === 'f16' || form === now.form || !isWhole(now) ? [] : [{ page, layer, form, entries: PAGE_TOKENS }];
    });
  },

  probes(view): Probe | undefined {
    const { probed } = view;
    const full = fullPages(view).length / numLayers(view);
    const old = oldPages(view);
    // For want of memory some may have fewer bits already: what they were is not known any more.
    if (loss === 0 || full < LEAST_PAGES || !old.every(({ now }) => isWhole(now))) return undefined;
    const pages = [...new Set(old.map(({ page }) => page))];
    const areResting = old.some(({ now }) => now.form !== 'f16');
    const isDue =
      full >= (probed.pages < FIRST_PROBE ? FIRST_PROBE : probed.pages + PROBE_EVERY) && probed.pages < LAST_PROBE;
    if (isDue) return { pages, forms: areResting ? FORMS.slice(1) : FORMS };
    return areResting || probed.pages > 0 ? undefined : { pages, forms: ['q8'] };
  },
});

const restingForm = (loss: number): 'q8' | 'f16' => (loss >= RESTS_FROM ? 'q8' : 'f16');

interface Step {
  layer: number;
  form: QuantizedForm;
  /** By which bytes fall and the loss rises. */
  saves: number;
  costs: number;
}

/**
 * The form of each layer; undefined until that is known. Layers take the steps from their resting form to smaller ones that
 * save most for what they cost, as far as the loss goes.
 */
function formsOfLayers(loss: number, view: CacheView): (QuantizedForm | undefined)[] | undefined {
  const { probed, residualShares, halfBytes } = view;
  if (probed.pages < LAST_PROBE) return undefined;
  const steps = Array.from({ length: numLayers(view) }, (_, layer) => {
    const costOf = (form: QuantizedForm): number => probed.changeOf(layer, form) * (residualShares[layer] ?? NaN);
    return convexSteps(
      layer,
      halfBytes,
      FORMS.map((form) => ({ form, bytes: probed.bytesOf(layer, form), loss: costOf(form) })),
    );
  }).flat();
  const forms: (QuantizedForm | undefined)[] = [];
  const stopped = new Set<number>();
  let left = loss;
  for (const { layer, form, costs } of steps.sort((a, b) => a.costs / a.saves - b.costs / b.saves)) {
    if (stopped.has(layer)) continue;
    if (costs > left) stopped.add(layer);
    else {
      forms[layer] = form;
      left -= costs;
    }
  }
  return forms;
}

/** From `bytes` without loss to smaller forms, each step saving no more for its cost than the one before: the lower convex hull. */
function convexSteps(
  layer: number,
  bytes: number,
  forms: readonly { form: QuantizedForm; bytes: number; loss: number }[],
): Step[] {
  const steps: Step[] = [];
  let at = { bytes, loss: 0 };
  let rest = forms.filter((each) => each.bytes < bytes && Number.isFinite(each.loss)); // NaN where it was not probed
  while (rest.length > 0) {
    const rate = (each: { bytes: number; loss: number }): number =>
      Math.max(0, each.loss - at.loss) / (at.bytes - each.bytes);
    const next = rest.reduce((best, each) => (rate(each) <= rate(best) ? each : best));
    steps.push({ layer, form: next.form, saves: at.bytes - next.bytes, costs: Math.max(0, next.loss - at.loss) });
    at = next;
    rest = rest.filter((each) => each.bytes < next.bytes);
  }
  return steps;
}
