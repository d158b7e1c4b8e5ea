import loraHalf from '../../shaders/parts/lora/lora-half.wgsl?raw';
import loraLinear from '../../shaders/parts/lora/lora-linear.wgsl?raw';
import loraTable from '../../shaders/parts/lora/lora-table.wgsl?raw';
import { LINEAR_NAMES } from '../architectures/linears.ts';
import { MAX_LEVELS } from '../config/max-levels.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import type { Binding, Constant, Kernel } from '../gpu/kernel.ts';

/**
 * The adapter arena, the buffer `lora` of every adapter's factors, in units of two words:
 * - for each stream the row of its next token, where the GPU chooses the level itself;
 * - the batch's rows: one for each token and adapter of its mix;
 * - the directory: for each layer, adapter and linear where its factors are, and its rank at each level;
 * - the factors as f16: A `[rank, in]`, and B transposed `[rank, out]`, so that a component is read whole or not at all.
 *
 * What A · input gives lies in `low`: for each token, adapter of its mix and linear the rank and where B starts, then h.
 */
export const ROW_UNITS = 2;
export const DIRECTORY_UNITS = 4;
export const UNIT_BYTES = 8;
/** In a row: nothing of the adapter. The directory has rank 0 behind the last level, always. */
export const NO_LEVEL = MAX_LEVELS;
/** Where the batch's rows start. */
export const ROWS_START = MAX_STREAMS * ROW_UNITS;
/** In a row: the level is the stream's own. */
export const ROW_FOLLOWS_STREAM = 256;

/** Linears that read one input and write one output, one below the other. */
export interface LoraSite {
  /** Of the layer's linears the first. */
  first: number;
  /** Outputs of each. */
  widths: readonly number[];
}

/** Words of `low` for a token, an adapter and a linear whose rank is at most `rank`; even, since h is read in pairs. */
export const lowStride = (rank: number): number => 2 + 2 * Math.ceil(rank / 2);

type Parts = Pick<Kernel, 'sources' | 'constants' | 'bindings' | 'params'>;

const NOTHING: Parts = { sources: [], constants: {}, bindings: [], params: {} };
const ARENA: Binding = { name: 'lora', type: 'array<vec2u>', access: 'read' };

/**
 * What a kernel is made of, beside its own text and libraries, that adds B · h to the outputs of `adds` or computes
 * h = A · input for the linears of `lowers`.
 */
export function loraParts({ adds, lowers }: { adds?: LoraSite; lowers?: LoraSite }): Parts {
  if (!adds && !lowers) return NOTHING;
  const adding = adds ? addingParts(adds) : NOTHING;
  const lowering = lowers ? loweringParts(lowers) : NOTHING;
  return {
    sources: [loraHalf, ...adding.sources, ...lowering.sources],
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
    sources: [loraLinear],
    constants,
    bindings: [{ name: 'low', type: 'array<u32>', access: 'read' }],
    params: { adapters: 'u32', lowStride: 'u32' },
  };
}

function loweringParts({ first, widths }: LoraSite): Parts {
  return {
    sources: [loraTable],
    constants: {
      NEXT_LINEARS: widths.length,
      FIRST_LINEAR: first,
      LORA_LINEARS: LINEAR_NAMES.length,
      LORA_ROWS: ROWS_START,
    },
    bindings: [
      { name: 'low_next', type: 'array<u32>', access: 'read_write' },
      { name: 'counters', type: 'array<atomic<u32>>', access: 'read_write' },
    ],
    params: { adapters: 'u32', lowStride: 'u32', tokens: 'u32', directory: 'u32', runs: 'u32' },
  };
}
