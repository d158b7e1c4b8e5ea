import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { SmallerForm } from '../kernels/page-forms.ts';
import type { CachePage, Change, LayerPage, Trial } from './cache-page.ts';

/** A sequence before its next tokens are computed. */
export interface CacheView {
  pages: readonly CachePage[];
  /** Tokens whose keys and values are in them. */
  tokens: number;
}

/** Decides in which form the pages of a sequence lie. */
export interface CachePolicy {
  /** A cached sequence is gone on from only where this is the same. */
  readonly key: string;
  /** Pages that are to lie in another form, or may; each is written beside the former. */
  changes(view: CacheView): Change[];
  /** Which of them are taken, at most one a page; without it all are, and nothing is probed. */
  choose?(trials: readonly Trial[], view: CacheView): Trial[];
}

/** Every page in f16. */
export const DENSE: CachePolicy = { key: 'dense', changes: () => [] };

/** Pages at the end that stay in f16; so does the first one, which every token attends to. */
export const RECENT_PAGES = 1;

/** A page that is neither the first one nor recent, with its places. */
export interface OldPage {
  page: number;
  layer: number;
  now: LayerPage;
}

export function oldPages({ pages, tokens }: CacheView): OldPage[] {
  const full = Math.floor(tokens / PAGE_TOKENS) - RECENT_PAGES;
  return pages.slice(1, Math.max(1, full)).flatMap(({ layers }, i) => layers.map((now, layer) => ({ page: i + 1, layer, now })));
}

/** Every page in one form that is neither the first one nor recent. */
export const fixedForm = (form: SmallerForm, entries = PAGE_TOKENS): CachePolicy => ({
  key: `${form} ${entries}`,
  changes: (view) =>
    oldPages(view).flatMap(({ page, layer, now }) => (now.form === 'f16' ? [{ page, layer, form, entries }] : [])),
});
