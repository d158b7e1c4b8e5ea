import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/page-forms.ts';
import type { CachePage, Change, Trial } from './cache-page.ts';

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

/** Pages still in f16 that are neither the first one nor recent, and have not been tried. */
export function oldPages({ pages, tokens }: CacheView): { page: number; layer: number }[] {
  const full = Math.floor(tokens / PAGE_TOKENS) - RECENT_PAGES;
  return pages.slice(1, Math.max(1, full)).flatMap(({ layers }, i) =>
    layers.flatMap(({ form, isSettled }, layer) => (form === 'f16' && !isSettled ? [{ page: i + 1, layer }] : [])),
  );
}

/** Every page in one form that is neither the first one nor recent. */
export const fixedForm = (form: QuantizedForm): CachePolicy => ({
  key: form,
  changes: (view) => oldPages(view).map((at) => ({ ...at, form })),
});

