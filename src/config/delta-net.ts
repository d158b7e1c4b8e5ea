import { FEW_TOKENS } from './few-tokens.ts';
import type { DeltaNet } from './model-config.ts';

/** Tokens that a tail has room for: a draft's. */
export const TAIL_TOKENS = FEW_TOKENS - 1;

/** Widths, in f32, of what a token has in a layer with a delta net. */
export function deltaWidths({ numKeyHeads, numValueHeads, headDim }: DeltaNet) {
  const values = numValueHeads * headDim;
  /** Queries, keys and values, which go through a convolution. */
  const convolved = 2 * numKeyHeads * headDim + values;
  /** Those, the output's gates, and of each value head how much it takes in and how much it forgets. */
  return { values, convolved, projected: convolved + values + 2 * numValueHeads };
}

/** Of what such a layer knows of a text: the state of each value head `[headDim, headDim]`, f32. */
export const deltaStateFloats = ({ numValueHeads, headDim }: DeltaNet): number => numValueHeads * headDim ** 2;

/** Of a token, all that changes the state: queries, keys and values, before their convolution or behind it, and both numbers of each value head. */
export const broughtFloats = (net: DeltaNet): number => deltaWidths(net).convolved + 2 * net.numValueHeads;

/** Bytes of a state's tail: what tokens behind it bring, before their convolution. */
export const tailBytes = (net: DeltaNet): number => 4 * TAIL_TOKENS * broughtFloats(net);

/** Bytes of all it knows: those, and behind them what its convolution took in of the latest tokens `[taps - 1, convolved]`. */
export const stateBytes = (net: DeltaNet): number =>
  4 * (deltaStateFloats(net) + (net.taps - 1) * deltaWidths(net).convolved);
