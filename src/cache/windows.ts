import { stateBytes, broughtFloats } from '../config/delta-net.ts';
import { hasState, headDimOfLayer, isConvolved, type ModelConfig } from '../config/model-config.ts';
import { type PageForm, pageUnits, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { type CachePage, isGivenBack, type PageState } from './cache-page.ts';

type Sighted = Pick<ModelConfig, 'window' | 'convolution' | 'deltaNet'>;

/** What of layers sees the latest tokens alone, and how many: attention within a window, or a convolution. No architecture has both. */
const shortSight = ({ window, convolution }: Sighted): { tokens: number; layers: readonly number[] } | undefined =>
  window ?? (convolution && { tokens: convolution.taps, layers: convolution.layers });

/**
 * Layers that see the latest tokens alone, whose pages lie in one form and are given back when they are out of sight, and those that have
 * a state in place of pages.
 */
export const shortSighted = (config: Sighted): readonly number[] =>
  config.deltaNet?.layers ?? shortSight(config)?.layers ?? [];

/** What a page of a layer needs of its model. */
export type PageShape = Pick<
  ModelConfig,
  'numKvHeads' | 'headDim' | 'hiddenSize' | 'window' | 'convolution' | 'deltaNet'
>;

/**
 * Units of a page of a layer: keys and values in a form, or what a convolution takes in, `[PAGE_TOKENS, hiddenSize]` in f32.
 * That is called `f16` too, as what was never written anew; and so is a state, which is no page's but a text's: one with a tail has
 * that many entries more.
 */
export function layerPageUnits(
  config: PageShape,
  layer: number,
  form: PageForm = 'f16',
  entries = PAGE_TOKENS,
): number {
  if (isConvolved(config, layer)) return (entries * config.hiddenSize * 4) / UNIT_BYTES;
  if (config.deltaNet && hasState(config, layer))
    return entries === 0
      ? 0
      : (stateBytes(config.deltaNet) + 4 * (entries - PAGE_TOKENS) * broughtFloats(config.deltaNet)) / UNIT_BYTES;
  return pageUnits(form, { numKvHeads: config.numKvHeads, headDim: headDimOfLayer(config, layer) }, entries);
}

/** Tokens that pages are kept for behind a window, so that a text can be gone on from so far before its end. */
const KEPT_BEHIND = 2 * PAGE_TOKENS;

/** Full pages, of a text of so many tokens, that short-sighted layers give back. Its last token may not be computed yet. */
export function pagesBehind(config: Sighted, tokens: number): number {
  const sight = shortSight(config);
  return sight ? Math.max(0, Math.floor((tokens - sight.tokens - KEPT_BEHIND) / PAGE_TOKENS)) : 0;
}

/** Most pages that a sequence has at once in short-sighted layers, where it is computed in batches of up to so many tokens. */
export function mostInSight(config: Sighted, batchTokens: number): number {
  const sight = shortSight(config);
  return sight ? Math.ceil((sight.tokens + KEPT_BEHIND + PAGE_TOKENS - 1 + batchTokens) / PAGE_TOKENS) : Infinity;
}

/** How many of these pages, `[page][layer]`, short-sighted layers have; 0 where there are no such layers. */
export function countInSight(config: Sighted, pages: readonly (readonly PageState[])[]): number {
  const [layer] = shortSighted(config);
  return layer === undefined ? 0 : pages.filter((states) => !isGivenBack(states[layer] as PageState)).length;
}

/** Whether a token may be added at `place`: what it sees in short-sighted layers is there. */
export function isInSight(config: Sighted, pages: readonly CachePage[], place: number): boolean {
  const sight = shortSight(config);
  if (!sight || place === 0) return true;
  const layer = sight.layers[0] ?? 0;
  const missing = pages.findLastIndex(({ layers }) => layers[layer] && isGivenBack(layers[layer])) + 1;
  return Math.max(0, place + 1 - sight.tokens) >= missing * PAGE_TOKENS || missing === 0;
}
