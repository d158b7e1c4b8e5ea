import type { ModelConfig } from '../config/model-config.ts';

/** More than caches hold. */
const BEYOND_CACHES = 64 << 20;

/**
 * Layers, of `bytes` each, that kernels are timed with in turn: as many as a step reads, or more than caches hold, since
 * weights and keys were last read a step before.
 */
export const readInTurn = ({ numLayers }: Pick<ModelConfig, 'numLayers'>, bytes: number): number =>
  Math.min(numLayers, Math.ceil(BEYOND_CACHES / bytes));
