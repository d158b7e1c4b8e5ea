import source from '../../../shaders/linears/linear-shared.wgsl?raw';
import expertGrouped from '../../../shaders/slots/expert/grouped.wgsl?raw';
import expertNone from '../../../shaders/slots/expert/none.wgsl?raw';
import expertRouted from '../../../shaders/slots/expert/routed.wgsl?raw';
import inputNormed from '../../../shaders/slots/input/normed.wgsl?raw';
import inputPlain from '../../../shaders/slots/input/plain.wgsl?raw';
import loraAdd from '../../../shaders/slots/lora-add/low.wgsl?raw';
import loraNone from '../../../shaders/slots/lora-add/none.wgsl?raw';
import noActivation from '../../../shaders/slots/activation/none.wgsl?raw';
import reduce from '../../../shaders/slots/reduce-sum/workgroup.wgsl?raw';
import rideLow from '../../../shaders/slots/rides/low.wgsl?raw';
import rideNone from '../../../shaders/slots/rides/none.wgsl?raw';
import rideRouted from '../../../shaders/slots/rides/routed.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Variant } from '../../gpu/device-variant.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { codeParts, planeNames, weightReader } from '../formats/weight-formats.ts';
import {
  biasParts,
  linearBindings,
  linearParams,
  type LinearDecodeOptions,
  type LinearDecodeSize,
} from '../linear-decode.ts';
import { loraParts } from '../lora-layout.ts';
import { ACTIVATIONS, loraLow } from '../slot-choices.ts';

/** Bytes of a block of inputs and of its sums, and those that an invocation may have of them: more would leave fewer waves. */
const BLOCK_BYTES = 136;
const BYTES_EACH = 48;
/** With more tokens than so many fewer rows are in registers, and a large workgroup has the memory for their inputs. */
const FEW_TOKENS = 2;
const LARGEST_WORKGROUP = 256;
const SMALLEST_WORKGROUP = 64;
/** Of those who share out a row, otherwise: a matrix of few columns has few rows too, and they should reach all cores. */
const MOST_GROUPS = 8;
/** Least invocations a row, and least part of them that is to have work. */
const LEAST_LANES = 8;
const LEAST_BUSY = 0.75;

/** Types that take many registers a block. */
const FEW_ROWS = new Set(['F32', 'F16', 'BF16']);

export interface SharedShape {
  workgroup: number;
  /** Invocations that share out a row. */
  lanes: number;
  /** Rows of a group of them. */
  rows: number;
  /** Blocks of inputs in the workgroup's memory at a time; a multiple of `lanes`, where there are as many. */
  tileBlocks: number;
}

/** How `tokens` tokens of `columns` columns are shared out. */
export function sharedShape(
  { decodeWorkgroup, decodeLanes, decodeRows }: Variant,
  columns: number,
  tokens: number,
): SharedShape {
  const isFew = tokens <= FEW_TOKENS;
  const blocks = columns / 32;
  // One is left free: blocks lie an odd stride apart.
  const most = (workgroup: number): number => Math.floor((workgroup * BYTES_EACH) / (BLOCK_BYTES * tokens)) - 1;
  const isBusy = (lanes: number): boolean => blocks >= LEAST_BUSY * Math.ceil(blocks / lanes) * lanes;
  const largest = isFew ? decodeWorkgroup : LARGEST_WORKGROUP;
  let lanes = Math.min(decodeLanes, largest);
  while (lanes > LEAST_LANES && (lanes > most(largest) || !isBusy(lanes))) lanes /= 2;
  const workgroup = isFew ? Math.min(largest, Math.max(SMALLEST_WORKGROUP, MOST_GROUPS * lanes)) : largest;
  const fitting = most(workgroup) - (most(workgroup) % lanes);
  const tileBlocks = Math.ceil(blocks / Math.ceil(blocks / fitting) / lanes) * lanes;
  return { workgroup, lanes, rows: isFew ? decodeRows : 2, tileBlocks };
}

/** As linear-decode.ts, with inputs in workgroup memory, for devices whose barriers are fast. */
export function linearSharedKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
  const {
    type,
    columns,
    normEps,
    gate,
    accumulate = false,
    hasBias = false,
    adds,
    lowers,
    routed,
    tokens: atOnce = 1,
  } = options;
  const { workgroup, lanes, rows: most, tileBlocks } = sharedShape(device.variant, columns, atOnce);
  const rows = FEW_ROWS.has(type) ? 2 : most;
  const reader = weightReader(device, type, columns);
  const parts = codeParts(type);
  const lora = loraParts({ adds, lowers });
  const normed = normEps !== undefined;
  const low = lowers && loraLow(device);
  const outputs = gate ? rows / 2 : rows;
  const bias = biasParts(options);
  return {
    name: 'linear-shared',
    sources: [
      ...[...reader.sources, reduce, ...lora.sources, normed ? inputNormed : inputPlain],
      ...[gate ? ACTIVATIONS[gate] : noActivation, bias.source, adds ? loraAdd : loraNone],
      ...(low ? [...low.sources, rideLow] : [routed ? rideRouted : rideNone]),
      routed ? (routed.grouped ? expertGrouped : expertRouted) : expertNone,
      source,
    ],
    enables: reader.enables,
    constants: {
      ...reader.constants,
      ...lora.constants,
      ...low?.constants,
      ...bias.constants,
      ...{
        WORKGROUP: workgroup,
        LANES: workgroup,
        ROW_LANES: lanes,
        ROWS: rows,
        OUTPUTS: outputs,
        TILE_BLOCKS: tileBlocks,
      },
      // An odd number of blocks: one after another, and the vectors of a block, they lie in different banks.
      KEPT: 8 * atOnce * (tileBlocks | 1),
      ONE_INPUT: atOnce === 1 && !routed,
      ...{
        TOKENS: atOnce,
        TOKEN_QUADS: Math.ceil(atOnce / 4),
        CODE_PARTS: parts,
        HALF_BLOCKS: parts === 1 ? 2 : 1,
        QUADS: Math.min(4, 8 / parts),
      },
      // Instead of weights: fewer instructions, but of two tokens more registers than codes with upper bits leave.
      SCALES_SUMS: atOnce === 1 || (atOnce === 2 && !planeNames(type).includes('weight_high')),
      // Which of the two stays in registers while the other passes by: what there is less of.
      ...{ TOKENS_OUTER: atOnce > rows, OUTER: Math.max(atOnce, rows), INNER: Math.min(atOnce, rows) },
      ...(routed && { EXPERTS_USED: routed.used }),
      ...{ NORMED: normed, NORM_EPS: { f32: normEps ?? 0 }, GATED: gate !== undefined, ACCUMULATE: accumulate },
    },
    bindings: linearBindings(reader.bindings, lora.bindings, { normed, hasBias, routed }),
    params: linearParams(lora.params, { lowers, routed }),
    groups: ({ outputs: all, tokens }) => [Math.ceil(all / outputs / (workgroup / lanes)), Math.ceil(tokens / atOnce)],
  };
}
