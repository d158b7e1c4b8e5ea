import { LINEAR_NAMES } from '../architectures/linears.ts';
import { MAX_LEVELS, MAX_SEQUENCES } from '../config/limits.ts';
import { type Binding, type Constant, type Kernel, reads, writes } from '../gpu/kernel.ts';
import { part } from './shader-library.ts';

/**
 * The adapter arena, the buffer `lora` of all adapters' factors, in units of two words:
 * - one row a sequence slot: the rank level of its next token, where the GPU chooses it;
 * - the batch's rows: one for each token and adapter of its mix;
 * - the directory: for each layer, adapter and linear, where its factors start, and its rank at each rank level;
 * - the factors as f16: A `[rank, in]`, and B transposed `[rank, out]`, so that a kernel reads whole components.
 *
 * A · input goes to `low`: for each token, adapter of its mix and linear, the rank, where B starts, then h.
 */
export const ROW_UNITS = 2;
export const DIRECTORY_UNITS = 4;
export const UNIT_BYTES = 8;
/** Rank level of a row that takes nothing of the adapter: the directory has rank 0 after the last level. */
export const NO_LEVEL = MAX_LEVELS;
/** First unit of the batch's rows. */
export const ROWS_START = MAX_SEQUENCES * ROW_UNITS;
/** Flag of a row whose rank level is the sequence slot's own. */
export const ROW_FOLLOWS_SEQUENCE = 256;

/** Linears that read the same input and write consecutive rows of the same output. */
export interface LoraSite {
  /** Index of the first linear among the layer's linears. */
  first: number;
  /** Outputs of each linear. */
  widths: readonly number[];
}

/** Words of `low` for a token, an adapter and a linear of at most `rank`; even, since kernels read pairs of h. */
export const lowStride = (rank: number): number => 2 + 2 * Math.ceil(rank / 2);

type Parts = Pick<Kernel, 'sources' | 'constants' | 'bindings' | 'params'>;

const NOTHING: Parts = { sources: [], constants: {}, bindings: [], params: {} };
const ARENA: Binding = reads('lora', 'vec2u');

/**
 * The parts of a kernel that add B · h to the outputs of `adds`, and compute h = A · input for the linears of `lowers`.
 */
export function loraParts({ adds, lowers }: { adds?: LoraSite; lowers?: LoraSite }): Parts {
  if (!adds && !lowers) return NOTHING;
  const adding = adds ? addingParts(adds) : NOTHING;
  const lowering = lowers ? loweringParts(lowers) : NOTHING;
  return {
    sources: [part('lora-half'), ...adding.sources, ...lowering.sources],
    constants: { ...adding.constants, ...lowering.constants },
    bindings: [ARENA, ...adding.bindings, ...lowering.bindings],
    params: { ...adding.params, ...lowering.params },
  };
}

function addingParts({ widths }: LoraSite): Parts {
  const end = widths.reduce((sum, width) => sum + width, 0);
  const [first = end, second = end - first, third = end - first - second] = widths;
  const constants: Record<string, Constant> = {
    NUM_LINEARS: widths.length,
    LORA_START_1: first,
    LORA_START_2: first + second,
    LORA_START_3: first + second + third,
    LORA_END: end,
  };
  return {
    sources: [part('lora-linear')],
    constants,
    bindings: [reads('low', 'u32')],
    params: { adapters: 'u32', lowStride: 'u32' },
  };
}

function loweringParts({ first, widths }: LoraSite): Parts {
  return {
    sources: [part('lora-table')],
    constants: {
      NEXT_LINEARS: widths.length,
      FIRST_LINEAR: first,
      LORA_LINEARS: LINEAR_NAMES.length,
      LORA_ROWS: ROWS_START,
    },
    bindings: [writes('low_next', 'u32'), writes('counters', 'atomic<u32>')],
    params: { adapters: 'u32', lowStride: 'u32', tokens: 'u32', directory: 'u32', runs: 'u32' },
  };
}
