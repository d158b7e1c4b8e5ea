import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { SmallerForm } from '../kernels/formats/page-forms.ts';
import type { CachePage, Change, LayerPage, Trial } from './cache-page.ts';
import type { LayerLosses } from './layer-losses.ts';

/** A sequence before its next tokens are computed. */
export interface CacheView {
  pages: readonly CachePage[];
  /** Tokens whose keys and values are in them. */
  tokens: number;
  /** Tokens that come next, in f16. */
  upcoming: number;
  /** Pages at the beginning that are never given up. */
  keptPages: number;
  /** Most tokens that the pages may hold. */
  contextLength: number;
  /** Of a page in f16, in one layer whose pages take other forms. */
  halfBytes: number;
  /** Of a page that comes next, in all layers. */
  nextBytes: number;
  /** What probes of this sequence found so far. */
  probed: LayerLosses;
  /** Of each layer: see session/pages/residual-shares.ts. */
  residualShares: readonly number[];
}

/** Pages, by their places, that every layer has in each of these forms at once, to find what that does to it. */
export interface Probe {
  pages: readonly number[];
  forms: readonly SmallerForm[];
}

/** Decides in which form the pages of a sequence lie, and which are given up. */
export interface CachePolicy {
  /** A cached sequence is gone on from only where this is the same. */
  readonly key: string;
  /** Pages that lie in another form from now on. */
  changes?(view: CacheView): Change[];
  /**
   * How many pages are given up behind the kept ones, oldest first, so that what comes next has room. Without it a text
   * ends with the context.
   */
  drops?(view: CacheView): number;
  /** What is probed before the next tokens; nothing comes of it but what `probed` says. */
  probes?(view: CacheView): Probe | undefined;
  /** Pages that may lie in other forms: each is written beside the former one, and its part of attention is found. */
  trials?(view: CacheView): Change[];
  /** Which of them are taken, at most one a page. */
  choose?(trials: readonly Trial[], view: CacheView): Trial[];
}

/** Every page in f16. */
export const DENSE: CachePolicy = { key: 'dense' };

/** Full pages at the end that no policy writes as less than q8. */
export const RECENT_PAGES = 1;

/** Full pages of a text in which one takes another form: the first one does not do so alone, nor do recent ones. */
export const LEAST_PAGES = 2 + RECENT_PAGES;

export const numLayers = ({ pages }: CacheView): number => pages[0]?.layers.length ?? 1;

/** A page of a layer, with its places. */
export interface OldPage {
  page: number;
  layer: number;
  now: LayerPage;
}

/** Those that are neither the first one nor recent. */
export function oldPages(view: CacheView): OldPage[] {
  const end = Math.floor(view.tokens / PAGE_TOKENS) - RECENT_PAGES;
  return fullPages(view).filter(({ page }) => page >= 1 && page < end);
}

/** Every page that is full, with its places. */
export function fullPages({ pages, tokens }: CacheView): OldPage[] {
  return pages
    .slice(0, Math.floor(tokens / PAGE_TOKENS))
    .flatMap(({ layers }, page) => layers.map((now, layer) => ({ page, layer, now })));
}

/** Whether a page is as it was or next to it, so that it can be written anew. */
export const isWhole = ({ form }: LayerPage): boolean => form === 'f16' || form === 'q8';

/** Old pages that are whole, in another form. */
export const oldPagesAs = (view: CacheView, form: SmallerForm, entries = PAGE_TOKENS): Change[] =>
  oldPages(view).flatMap(({ page, layer, now }) =>
    isWhole(now) && now.form !== form ? [{ page, layer, form, entries }] : [],
  );

/** Every page in one form that is neither the first one nor recent. */
export const fixedForm = (form: SmallerForm, entries = PAGE_TOKENS): CachePolicy => ({
  key: `${form} ${entries}`,
  changes: (view) => oldPagesAs(view, form, entries),
});

/** Pages to give up before what comes next fits into the context. */
export const pagesBeyondContext = ({ tokens, upcoming, contextLength }: CacheView): number =>
  Math.max(0, Math.ceil((tokens + upcoming - contextLength) / PAGE_TOKENS));
