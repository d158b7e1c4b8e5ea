import type { ModelConfig } from '../config/model-config.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { type CachePage, isGivenBack } from './cache-page.ts';

/** Tokens that pages are kept for behind a window, so that a text can be gone on from so far before its end. */
const KEPT_BEHIND = 2 * PAGE_TOKENS;

/** Full pages, of a text of so many tokens, that layers with a window give back. Its last token may not be computed yet. */
export const pagesBehind = ({ window }: Pick<ModelConfig, 'window'>, tokens: number): number =>
  window ? Math.max(0, Math.floor((tokens - window.tokens - KEPT_BEHIND) / PAGE_TOKENS)) : 0;

/** Whether a token may be added at `place`: what it sees in layers with a window is there. */
export function isInSight({ window }: Pick<ModelConfig, 'window'>, pages: readonly CachePage[], place: number): boolean {
  if (!window || place === 0) return true;
  const layer = window.layers[0] ?? 0;
  const missing = pages.findLastIndex(({ layers }) => layers[layer] && isGivenBack(layers[layer])) + 1;
  return Math.max(0, place + 1 - window.tokens) >= missing * PAGE_TOKENS || missing === 0;
}
