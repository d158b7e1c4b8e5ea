import {
  PAGE_FORMS,
  type PageForm,
  type QuantizedForm,
  SPARSE_FORM,
  UNIT_BYTES,
} from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { CachePage, Change, LayerLosses, LayerPage, PageRun } from './cache-page.ts';
import { kvBytes } from './kv-cache.ts';
import { MOST_MEASURED } from './sparse-buffers.ts';

/** A sequence's state before its next batch, as policies see it. */
export interface CacheView {
  pages: readonly CachePage[];
  /** Cached tokens. */
  tokens: number;
  /** Tokens of the next batch, which are stored in f16. */
  upcoming: number;
  /** Pages at the start that are never evicted. */
  keptPages: number;
  /** Most cached tokens. */
  contextLength: number;
  /** Bytes of an f16 page in one layer whose pages can change form. */
  halfBytes: number;
  /** Bytes of a new page in all layers. */
  nextBytes: number;
  /** Layers whose pages can change form, and the bytes of a page in one of them. */
  changingLayers: readonly number[];
  formBytes: (form: QuantizedForm, layer: number) => number;
  /** Results of this sequence's probes so far. */
  probed: LayerLosses;
  /** By layer; see session/pages/residual-shares.ts. */
  residualShares: readonly number[];
}

/** Measures each layer with these pages in each of these forms, one form at a time. `pages`: indices. */
export interface Probe {
  pages: readonly number[];
  forms: readonly QuantizedForm[];
}

/** Decides the forms of a sequence's pages and which pages to evict. */
export interface CachePolicy {
  /** A cached prefix is reused only under an equal key. */
  readonly key: string;
  /** Form changes to make now. */
  changes?(view: CacheView): Change[];
  /** Most tokens of the next batch of a prompt, which `view` does not count; default: no limit. */
  batchTokens?(view: CacheView): number;
  /**
   * Number of pages to evict after the kept ones, oldest first, to make room for the next batch. Without this function,
   * generation ends when the context is full.
   */
  drops?(view: CacheView): number;
  /** Probe to run before the next batch; it only adds to `probed`. */
  probes?(view: CacheView): Probe | undefined;
  /** Whole pages whose entries are to be measured before the next batch; see session/pages/entry-shares.ts. */
  measures?(view: CacheView): PageRun | undefined;
  /** Evicts entries of measured pages; undefined: they stay as they are. */
  sparse?(view: CacheView): Eviction | undefined;
  /** Least tokens of a text whose entries are measured; default: any text's may be. */
  sparseFrom?(view: CacheView): number;
  /**
   * Decides instead if the model cannot repeat a text, or if the device computes sparse pages wrong. Without it, entries
   * count by age in such a model, and all pages stay in f16 on such a device.
   */
  readonly unmeasured?: CachePolicy;
}

/** Most bytes that some measured pages may take from now on. */
export interface Eviction extends PageRun {
  bytes: number;
  /** Forced by the memory budget. */
  forced?: boolean;
}

/** Every page in f16. */
export const DENSE: CachePolicy = { key: 'dense' };

/** Full pages at the end that policies never write smaller than q8. */
export const RECENT_PAGES = 1;

/** Least full pages for any form change: the first page and recent pages never change alone. */
export const LEAST_PAGES = 2 + RECENT_PAGES;

export const numLayers = ({ pages }: CacheView): number => pages[0]?.layers.length ?? 1;

/** One layer's page with its indices. */
export interface OldPage {
  page: number;
  layer: number;
  now: LayerPage;
}

/** Full pages that are neither first nor recent. */
export function oldPages(view: CacheView): OldPage[] {
  const end = Math.floor(view.tokens / PAGE_TOKENS) - RECENT_PAGES;
  return fullPages(view).filter(({ page }) => page >= 1 && page < end);
}

/** All full pages, layer by layer. */
function fullPages({ pages, tokens }: CacheView): OldPage[] {
  return pages
    .slice(0, Math.floor(tokens / PAGE_TOKENS))
    .flatMap(({ layers }, page) => layers.map((now, layer) => ({ page, layer, now })));
}

/** Whether a page is in f16 or q8, accurate enough to be converted again. */
export const isWhole = ({ form }: LayerPage): boolean => form === 'f16' || form === 'q8';

/** Changes of old pages in f16 or q8 to `form`. */
export const oldPagesAs = (view: CacheView, form: QuantizedForm): Change[] =>
  oldPages(view).flatMap(({ page, layer, now }) => (isWhole(now) && now.form !== form ? [{ page, layer, form }] : []));

/** Converts every page to one form, except the first and recent ones. */
export const fixedForm = (form: QuantizedForm): CachePolicy => ({
  key: form,
  changes: (view) => oldPagesAs(view, form),
});

/** Pages to evict so that the next batch fits into the context. */
export const pagesBeyondContext = ({ tokens, upcoming, contextLength }: CacheView): number =>
  Math.max(0, Math.ceil((tokens + upcoming - contextLength) / PAGE_TOKENS));

/** Forms that the policy chooses among, largest first. Not `sparse`: later queries may attend to tokens that the latest ones ignore. */
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3', 'k3v2'];

/** Pages at the first and last probe of a sequence, and pages between probes. */
const FIRST_PROBE = 8;
const LAST_PROBE = 16;
const PROBE_EVERY = 4;

/** Least loss budget with which undecided pages rest in q8, which loses 2e-5 (docs/decisions/kv-cache.md). */
const RESTS_FROM = 0.001;

/**
 * Chooses one form per layer: the fewest bytes whose total estimated loss is at most `loss`. The loss of a form in a layer
 * is the squared relative change of its attention output with all old pages in that form, times the layer's share of the
 * residual stream (`residualShares`). Losses add up over layers; the sum approximates the KL divergence of the next token's
 * distribution in nats (docs/decisions/kv-cache.md).
 *
 * The latest queries probe the layers at 8, 12 and 16 pages, or at the next step after that. Until then full pages rest in
 * q8, or in f16 if even q8 loses too much; q8 is probed before the first use. The first page, which every token attends to,
 * stays in the resting form.
 */
export const errorBudgetPolicy = (loss: number): CachePolicy => ({
  key: `policy ${loss}`,
  drops: pagesBeyondContext,

  changes(view) {
    const full = fullPages(view);
    if (loss === 0 || full.length / numLayers(view) < LEAST_PAGES) return [];
    const decided = formsOfLayers(loss, view);
    const isOld = new Set(oldPages(view).map(({ page }) => page));
    return full.flatMap(({ page, layer, now }): Change[] => {
      const form = (isOld.has(page) && decided?.[layer]) || restingForm(loss);
      return form === 'f16' || form === now.form || !isWhole(now) ? [] : [{ page, layer, form }];
    });
  },

  probes(view): Probe | undefined {
    const { probed } = view;
    const full = fullPages(view).length / numLayers(view);
    const old = oldPages(view);
    // The memory budget may have forced fewer bits already, and the original values are lost.
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
  /** Bytes saved and loss added. */
  saves: number;
  costs: number;
}

/**
 * The form of each layer; undefined until the last probe. Greedily takes the steps to smaller forms with the best ratio of
 * bytes saved to loss, within the loss budget.
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

/** Steps from f16 (`bytes`) to smaller forms along the lower convex hull of loss over bytes: each saves no more per loss than the previous. */
function convexSteps(
  layer: number,
  bytes: number,
  forms: readonly { form: QuantizedForm; bytes: number; loss: number }[],
): Step[] {
  const steps: Step[] = [];
  let at = { bytes, loss: 0 };
  let rest = forms.filter((each) => each.bytes < bytes && Number.isFinite(each.loss)); // NaN: not probed
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

/**
 * Changes that the memory budget forces: `form` for old pages that are larger, and q8 for the first and recent ones.
 */
function forcedPages(view: CacheView, form: QuantizedForm): Change[] {
  const old = oldPages(view);
  const isOld = new Set(old.map(({ now }) => now));
  const others = fullPages(view).filter(({ now }) => now.form === 'f16' && !isOld.has(now));
  const larger = old.filter(({ now }) => sizeOrder(now.form) < sizeOrder(form));
  return [
    ...larger.map(({ page, layer }): Change => ({ page, layer, form })),
    ...others.map(({ page, layer }): Change => ({ page, layer, form: 'q8' })),
  ];
}

/** Names the page and layer of a change. */
const placeOf = ({ page, layer }: Change): string => `${page} ${layer}`;

/** Place of a form among all, from large to small. */
const sizeOrder = (form: PageForm): number => PAGE_FORMS.indexOf(form);

/** Bytes after the next batch once all that the memory budget forces is done, with old pages in `form`. */
function bytesWith(form: QuantizedForm, view: CacheView): number {
  const { pages, changingLayers, formBytes } = view;
  const end = Math.floor(view.tokens / PAGE_TOKENS);
  const saved = pages.slice(0, end).flatMap(({ layers }, i) => {
    const smallest = i > 0 && i < end - RECENT_PAGES ? form : 'q8';
    return changingLayers.map((layer) =>
      Math.max(0, (layers[layer]?.place.units ?? 0) * UNIT_BYTES - formBytes(smallest, layer)),
    );
  });
  return bytesToCome(view) - saved.reduce((sum, each) => sum + each, 0);
}

/** Bytes of the sequence's pages after the next batch. */
function bytesToCome({ pages, tokens, upcoming, nextBytes }: CacheView): number {
  const more = Math.max(0, Math.ceil((tokens + upcoming) / PAGE_TOKENS) - pages.length);
  return kvBytes(pages) + more * nextBytes;
}

/** Share of the budget that the pages of a batch take at most, unless it is a single page. */
const BATCH_SHARE = 1 / 2;

const batchWithin = (bytes: number, { nextBytes }: CacheView): number =>
  PAGE_TOKENS * Math.max(1, Math.floor(bytes / nextBytes));

/**
 * Limits a policy to `bytes` of pages per text on the GPU. Changes nothing until the pages would exceed them. With `wins`,
 * the bytes hold even if the policy saves too little: old pages in f16 or q8 become q4 (or `smallest`, if q4 is too large),
 * other full f16 pages q8, and then the oldest are evicted. Otherwise the error budget holds, and the pages may exceed the
 * bytes.
 */
export const withMemoryBudget = (
  policy: CachePolicy,
  bytes: number,
  wins: boolean,
  smallest: 'q4' | 'k3v2' = 'q4',
): CachePolicy => ({
  ...policy,
  key: `${policy.key} ${bytes} ${wins}`,
  changes(view) {
    if (bytesToCome(view) <= bytes) return [];
    const wanted = policy.changes?.(view) ?? [];
    if (!wins) return wanted;
    const own = new Map(wanted.map((each) => [placeOf(each), each.form]));
    // Changes that the policy makes at least as small by itself are not forced.
    const forced = forcedPages(view, bytesWith('q4', view) > bytes ? smallest : 'q4').filter((each) => {
      const form = own.get(placeOf(each));
      return form === undefined || sizeOrder(form) < sizeOrder(each.form);
    });
    const isForced = new Set(forced.map(placeOf));
    return [
      ...wanted.filter((each) => !isForced.has(placeOf(each))),
      ...forced.map((each) => ({ ...each, forced: true })),
    ];
  },
  ...(wins && { batchTokens: (view: CacheView) => batchWithin(BATCH_SHARE * bytes, view) }),
  drops(view) {
    const beyondContext = policy.drops?.(view) ?? pagesBeyondContext(view);
    return wins ? Math.max(beyondContext, pagesBeyond(bytes, view)) : beyondContext;
  },
});

/** Full pages at the end that stay whole in a sparse cache. */
const WHOLE_PAGES = 3;
/** Share of old entries that stay if there is no budget. */
const KEPT_SHARE = 3 / 8;
/** With a budget: what the pages of a batch take of it at most once old pages are too many for q4, and what is measured at once takes in k3v2. */
const SPARSE_BATCH_SHARE = 1 / 4;
/** With a budget: what is free of it once entries are evicted, so that this does not happen with every page. */
const FREE_SHARE = 1 / 16;

/** Pages whose entries may be evicted: those that are measured, then `rest` others. */
function sparsePages(view: CacheView): PageRun & { rest: number } {
  const { pages, keptPages: first, changingLayers } = view;
  const end = Math.max(first, Math.floor(view.tokens / PAGE_TOKENS) - WHOLE_PAGES);
  const layer = changingLayers[0] ?? 0;
  const next = pages.slice(first, end).findIndex(({ layers }) => layers[layer]?.slots === undefined);
  const count = next < 0 ? end - first : next;
  return { first, count, rest: end - first - count };
}

/** Bytes of some old pages once those that are larger are in SPARSE_FORM. */
function bytesOf({ pages, changingLayers, formBytes }: CacheView, { first, count }: PageRun): number {
  const bytes = pages
    .slice(first, first + count)
    .flatMap(({ layers }) =>
      changingLayers.map((layer) =>
        Math.min((layers[layer] as LayerPage).place.units * UNIT_BYTES, formBytes(SPARSE_FORM, layer)),
      ),
    );
  return bytes.reduce((sum, each) => sum + each, 0);
}

/** Bytes of a page in SPARSE_FORM in all layers that can change. */
const sparsePageBytes = ({ changingLayers, formBytes }: CacheView): number =>
  changingLayers.reduce((sum, layer) => sum + formBytes(SPARSE_FORM, layer), 0);

/** Pages that are measured at once: the model repeats them, which takes twice as many and a request. */
const mostMeasured = ({ contextLength }: CacheView): number =>
  Math.max(1, Math.min(MOST_MEASURED, Math.floor((contextLength / PAGE_TOKENS - 3) / 2)));

/** Old pages in SPARSE_FORM, of which the entries stay that had most attention when the model repeated the text. */
export function sparsePolicy(bytes?: number): CachePolicy {
  if (bytes !== undefined) return withEntryBudget({ key: 'sparse' }, bytes);
  return {
    key: 'sparse',
    drops: pagesBeyondContext,
    changes: (view) => oldPagesAs(view, SPARSE_FORM),
    measures(view) {
      const { first, count, rest } = sparsePages(view);
      const most = mostMeasured(view);
      return rest < most ? undefined : { first: first + count, count: most };
    },
    sparse(view) {
      const measured = sparsePages(view);
      const kept = KEPT_SHARE * measured.count * sparsePageBytes(view);
      return bytesOf(view, measured) > kept ? { ...measured, bytes: kept } : undefined;
    },
  };
}

/**
 * Limits a policy to `bytes` of pages per text on the GPU, like `withMemoryBudget` with `wins`, except below the floor: if
 * old pages exceed the bytes even in SPARSE_FORM, then as many of their entries stay as fit, those that had most attention
 * when the model repeated the text. The oldest pages are evicted only if not even the others fit.
 */
function withEntryBudget(policy: CachePolicy, bytes: number): CachePolicy {
  const budget = withMemoryBudget(policy, bytes, true, SPARSE_FORM);
  const beyond = (view: CacheView): number => bytesWith(SPARSE_FORM, view) - bytes;
  return {
    ...budget,
    // Smaller batches come before fewer bits.
    batchTokens(view) {
      const upcoming = batchWithin(BATCH_SHARE * bytes, view);
      const fits = bytesWith('q4', { ...view, upcoming }) <= bytes;
      return fits ? upcoming : batchWithin(SPARSE_BATCH_SHARE * bytes, view);
    },
    measures(view) {
      const { first, count, rest } = sparsePages(view);
      const over = beyond(view);
      if (over <= 0 || rest === 0) return undefined;
      const evicted = over + FREE_SHARE * bytes;
      // Nothing can stay.
      if (bytesOf(view, { first, count: count + rest }) <= evicted) return undefined;
      const share = Math.floor((SPARSE_BATCH_SHARE * bytes) / sparsePageBytes(view));
      const most = Math.max(1, Math.min(mostMeasured(view), share, Math.floor(bytes / view.nextBytes)));
      // Fewer than that only if nothing else can be evicted.
      return rest < most && bytesOf(view, { first, count }) > evicted
        ? undefined
        : { first: first + count, count: Math.min(rest, most) };
    },
    sparse(view) {
      const measured = sparsePages(view);
      const over = beyond(view);
      if (over <= 0 || measured.count === 0) return undefined;
      const left = Math.max(0, bytesOf(view, measured) - over - FREE_SHARE * bytes);
      return { ...measured, bytes: left, forced: true };
    },
    sparseFrom: (view) => (PAGE_TOKENS * bytes) / sparsePageBytes(view),
  };
}

function pagesBeyond(bytes: number, view: CacheView): number {
  const { pages, keptPages } = view;
  const most = Math.max(0, pages.length - RECENT_PAGES - 1 - keptPages);
  let over = bytesToCome(view) - bytes;
  let count = 0;
  while (over > 0 && count < most) {
    over -= kvBytes(pages.slice(keptPages + count, keptPages + count + 1));
    count++;
  }
  return count;
}

/** Values of a request's `kv`. */
export const KV_MODES = ['dense', 'policy', 'q8', 'q4', 'q3', 'k3v2', 'sparse'] as const;
export type KvMode = (typeof KV_MODES)[number];

export interface KvOptions {
  /** Form of the KV cache; default `dense`: f16. */
  kv?: KvMode;
  /** With `policy`: largest increase of perplexity, in percent. */
  kvErrorBudget?: number;
  /** With `policy` and `sparse`: most GPU bytes of the text's pages. */
  kvMemoryBudget?: number;
  /** Which budget holds if both cannot; default: `error`, or `memory` if `kvErrorBudget` is not set. */
  kvPriority?: KvPriority;
  /** Also keeps every page in f16 and reports the true error; uses more memory than `dense`. */
  kvShadow?: boolean;
}

export const KV_PRIORITIES = ['error', 'memory'] as const;
export type KvPriority = (typeof KV_PRIORITIES)[number];

export const DEFAULT_KV_ERROR_BUDGET = 1;
export const MOST_KV_ERROR_BUDGET = 16;

/**
 * Estimated loss that raises perplexity by one percent; the relation is linear. Measured on SmolLM2-135M
 * (`npm run bench -- kv-perplexity`; docs/decisions/kv-cache.md).
 */
const ONE_PERCENT = 0.007;

export function policyOf({ kv = 'dense', kvErrorBudget, kvMemoryBudget, kvPriority }: KvOptions = {}): CachePolicy {
  if (kv === 'dense') return DENSE;
  if (kv === 'sparse') return sparsePolicy(kvMemoryBudget);
  if (kv !== 'policy') return fixedForm(kv);
  const policy = errorBudgetPolicy(ONE_PERCENT * (kvErrorBudget ?? DEFAULT_KV_ERROR_BUDGET));
  if (kvMemoryBudget === undefined) return policy;
  const priority = kvPriority ?? (kvErrorBudget === undefined ? 'memory' : 'error');
  if (priority === 'error') return withMemoryBudget(policy, kvMemoryBudget, false);
  return { ...withEntryBudget(policy, kvMemoryBudget), unmeasured: withMemoryBudget(policy, kvMemoryBudget, true) };
}
