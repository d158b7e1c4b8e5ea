import type { Range } from './byte-sets.ts';

/** A regular expression over characters, as a tree; parts may be shared, and a shared part is lowered once. */
export type CharRegex =
  | { readonly kind: 'empty' }
  /** One code point of these ranges; without ranges, it matches nothing. */
  | { readonly kind: 'chars'; readonly ranges: readonly Range[] }
  | { readonly kind: 'concat' | 'or' | 'and'; readonly parts: readonly CharRegex[] }
  /** Any text that the part does not match. */
  | { readonly kind: 'not'; readonly part: CharRegex }
  /** `least` to `most` times; `most` may be Infinity. */
  | { readonly kind: 'repeat'; readonly part: CharRegex; readonly least: number; readonly most: number };
