import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { QuantizedForm } from '../kernels/page-forms.ts';
import type { CachePage } from './kv-cache.ts';

/** A sequence before its next tokens are computed. */
export interface CacheView {
  pages: readonly CachePage[];
  /** Tokens whose keys and values are in them. */
  tokens: number;
}

/** A page of one layer that is to lie in another form from now on. */
export interface Change {
  /** Its place among the sequence's pages. */
  page: number;
  layer: number;
  form: QuantizedForm;
}

/** Decides in which form the pages of a sequence lie. */
export interface CachePolicy {
  /** A cached sequence is gone on from only where this is the same. */
  readonly key: string;
  changes(view: CacheView): Change[];
}

/** Every page in f16. */
export const DENSE: CachePolicy = { key: 'dense', changes: () => [] };

/** Pages at the end that stay in f16; so does the first one, which every token attends to. */
const RECENT_PAGES = 1;

/** Every page in one form that is neither the first one nor recent. */
export const fixedForm = (form: QuantizedForm): CachePolicy => ({
  key: form,
  changes({ pages, tokens }) {
    const full = Math.floor(tokens / PAGE_TOKENS) - RECENT_PAGES;
    return pages.slice(1, full).flatMap(({ layers }, i) =>
      layers.flatMap((page, layer) => (page.form === 'f16' ? [{ page: i + 1, layer, form }] : [])),
    );
  },
});

/** What a request may ask for. */
export const KV_MODES = ['dense', 'q8', 'q4'] as const;
export type KvMode = (typeof KV_MODES)[number];

export const policyOf = (mode: KvMode = 'dense'): CachePolicy => (mode === 'dense' ? DENSE : fixedForm(mode));
