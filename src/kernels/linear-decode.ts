import source from '../../shaders/linear-decode/linear-decode.wgsl?raw';
import sharedSource from '../../shaders/linear-decode/linear-shared.wgsl?raw';
import type { Activation } from '../config/activations.ts';
import type { Device, Variant } from '../gpu/device.ts';
import { type Constant, type Kernel, type ParamsLayout, reads, writes } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { codeParts, weightBufferNames, weightReader } from './formats/weight-formats.ts';
import { inputLoading, loraLow, reduction } from './kernel-variants.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { part } from './shader-library.ts';

export interface LinearDecodeOptions {
  type: GgmlType;
  columns: number;
  /** RMS-norm the input with this epsilon. */
  normEps?: number;
  /** Rows are gate, then up: the output is activation(gate) · up, half as long. */
  gate?: Activation;
  /** Add the product to the output. */
  accumulate?: boolean;
  /** Add a bias. With a norm it follows the norm's weights in one buffer; see `biasStart`. */
  hasBias?: boolean;
  /** Tokens that an invocation computes. linear-decode computes up to 2, linear-shared up to 8. */
  tokens?: 1 | 2 | 4 | 8;
  /** Add B · h of the adapters to the product, before the activation and the bias. */
  adds?: LoraSite;
  /** Extra workgroups compute A · x of the adapters. Not with a norm. */
  lowers?: LoraSite;
  /**
   * Each output token uses one expert; `used` consecutive output tokens read the same input. Not with adapters. One token
   * at a time, unless tokens are `grouped` by expert (linear-shared only).
   */
  routed?: { used: number; grouped?: boolean };
}

/** `outputs`: rows of the slice, or half of them if gated. */
export interface LinearDecodeSize {
  outputs: number;
  tokens: number;
}

/** y = W · x of few tokens: one invocation a row, or several, as the device's variant says. */
export function decodeKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
  return device.variant.lanes > 1 ? linearSharedKernel(device, options) : linearDecodeKernel(device, options);
}

/** Tokens that decodeKernel computes at once in a step of `tokens` tokens. */
export function tokensAtOnce(device: Device, tokens: number): NonNullable<LinearDecodeOptions['tokens']> {
  if (tokens === 1) return 1;
  if (tokens === 2 || device.variant.lanes === 1) return 2;
  return tokens <= 4 ? 4 : 8;
}

/** Most tokens for which decodeKernel is faster than prefillKernel, which always computes whole tiles. */
export const mostDecoded = ({ variant }: Device): number => (variant.lanes === 1 ? 4 : 8);

/** Index of the first bias after a norm's weights `[columns]`, in floats. Kernels of many tokens bind the bias alone. */
export const biasStart = (columns: number): number => Math.ceil(columns / 64) * 64;

/** One buffer of a norm's weights and the bias that follows them. */
export function normThenBias(weights: Float32Array, bias: Float32Array): Float32Array<ArrayBuffer> {
  const start = biasStart(weights.length);
  const both = new Float32Array(start + Math.ceil(bias.length / 4) * 4); // kernels read whole vec4f
  both.set(weights);
  both.set(bias, start);
  return both;
}

/** Common parts of linear-decode and linear-shared: texts after the weights' reader, constants, bindings and params. */
function decodeParts(device: Device, options: LinearDecodeOptions) {
  const { type, columns, normEps, gate, accumulate = false, hasBias = false, adds, lowers, routed } = options;
  const reader = weightReader(device, type, columns);
  const lora = loraParts({ adds, lowers });
  const low = lowers && loraLow(device);
  const normed = normEps !== undefined;
  const bias = !hasBias ? 'none' : normed ? 'after-norm' : 'vector';
  const constants: Record<string, Constant> = {
    ...lora.constants,
    ...low?.constants,
    ...(bias === 'after-norm' && { BIAS_START: biasStart(columns) }),
  };
  const flags: Record<string, Constant> = {
    ...{ NORMED: normed, NORM_EPS: { f32: normEps ?? 0 } },
    ...{ GATED: gate !== undefined, ACCUMULATE: accumulate },
  };
  const params: ParamsLayout = {
    ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', tokens: 'u32', outputWidth: 'u32' },
    ...lora.params,
    ...(lowers && { groups: 'u32' }),
    ...(routed && { firstExpert: 'u32', experts: 'u32' }),
  };
  return {
    reader,
    lora,
    sources: [
      part(normed ? 'input/normed' : 'input/plain'),
      ...[part(`activation/${gate ?? 'none'}`), part(`bias/${bias}`), part(adds ? 'lora-add/low' : 'lora-add/none')],
      ...(low ? [...low.sources, part('rides/low')] : [part(routed ? 'rides/routed' : 'rides/none')]),
      part(routed ? (routed.grouped ? 'expert/grouped' : 'expert/routed') : 'expert/none'),
    ],
    constants,
    flags,
    bindings: [
      ...reader.bindings,
      reads('x', 'vec4f'),
      ...(normed ? [reads('norm_weight', 'vec4f')] : []),
      ...(bias === 'vector' ? [reads('bias_values', 'f32')] : []),
      ...(routed ? [reads('routes', 'vec2u')] : []),
      writes('y', 'f32'),
      ...lora.bindings,
    ],
    params,
  };
}

/** Rows of an invocation. */
const ROWS = 4;

/**
 * `x [T, columns]` → `y [T, outputWidth]`. Params: the slice's first output row; its rows (with experts: rows of one expert);
 * the factor of the product before the bias; T; the width of y. With `lowers` also `groups`, workgroups that do not compute
 * A · x; with `routed` also the slice's first expert and its experts.
 */
function linearDecodeKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
  const { tokens = 1, routed } = options;
  const { reader, lora, sources, constants, flags, bindings, params } = decodeParts(device, options);
  const reduce = reduction(device);
  const loading = inputLoading(device);
  return {
    name: 'linear-decode',
    sources: [
      ...[...reader.sources, reduce.source, loading.input, loading.squares, ...lora.sources],
      ...sources,
      source,
    ],
    enables: [...reader.enables, ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      ...reduce.constants,
      ...constants,
      ...(routed && { EXPERTS_USED: routed.used }),
      TOKENS: tokens,
      ONE_INPUT: tokens === 1 && !routed,
      ...flags,
    },
    bindings,
    params,
    groups: ({ outputs, tokens: all }) => [Math.ceil(outputs / ROWS / reduce.rowsPerGroup), Math.ceil(all / tokens)],
  };
}

/** Bytes of a block of inputs and its sums in workgroup memory, and most bytes an invocation: more would leave fewer waves. */
const BLOCK_BYTES = 136;
const BYTES_EACH = 48;
/** With more tokens than this, fewer rows fit in registers, and a large workgroup has the memory for the inputs. */
const FEW_TOKENS = 2;
const LARGEST_WORKGROUP = 256;
const SMALLEST_WORKGROUP = 64;
/** Most groups of lanes in a smaller workgroup. A matrix of few columns has few rows too, and all cores should get some. */
const MOST_GROUPS = 8;
/** Least lanes a row, and least share of them that have work. */
const LEAST_LANES = 8;
const LEAST_BUSY = 0.75;

/** Types whose blocks take many registers. */
const FEW_ROWS = new Set(['F32', 'F16', 'BF16']);

interface SharedShape {
  workgroup: number;
  /** Invocations that share a row. */
  lanes: number;
  /** Rows of a group of lanes. */
  rows: number;
  /** Blocks of a row. */
  blocks: number;
  /** Blocks of inputs in workgroup memory at a time; a multiple of `lanes` if the matrix has that many. */
  tileBlocks: number;
}

/** How linear-shared shares `tokens` tokens of `columns` columns. */
function sharedShape(
  { decodeWorkgroup, decodeLanes, decodeRows }: Variant,
  columns: number,
  tokens: number,
): SharedShape {
  const isFew = tokens <= FEW_TOKENS;
  const blocks = columns / 32;
  // One block stays free: the stride between blocks is odd.
  const most = (workgroup: number): number => Math.floor((workgroup * BYTES_EACH) / (BLOCK_BYTES * tokens)) - 1;
  const isBusy = (lanes: number): boolean => blocks >= LEAST_BUSY * Math.ceil(blocks / lanes) * lanes;
  const largest = isFew ? decodeWorkgroup : LARGEST_WORKGROUP;
  let lanes = Math.min(decodeLanes, largest);
  while (lanes > LEAST_LANES && (lanes > most(largest) || !isBusy(lanes))) lanes /= 2;
  const workgroup = isFew ? Math.min(largest, Math.max(SMALLEST_WORKGROUP, MOST_GROUPS * lanes)) : largest;
  const fitting = most(workgroup) - (most(workgroup) % lanes);
  const tileBlocks = Math.ceil(blocks / Math.ceil(blocks / fitting) / lanes) * lanes;
  return { workgroup, lanes, rows: isFew ? decodeRows : 2, blocks, tileBlocks };
}

/** Most bytes of sums that have their own workgroup memory; others follow the inputs in theirs, after one more barrier. */
const MOST_SUM_BYTES = 1024;

/**
 * How linear-shared sums over invocations: text, constants and directives. Subgroups must be full, and a workgroup whose size
 * is no multiple of theirs has one that is not.
 */
function summing(
  { features, subgroupSizes, variant }: Device,
  { workgroup, lanes, blocks, tileBlocks }: SharedShape,
  tokens: number,
) {
  // An odd stride, so that consecutive blocks, and the vectors of a block, lie in different banks.
  const stride = tileBlocks | 1;
  const inputs = 8 * tokens * stride;
  const usesSubgroups = variant.decodeSubgroups && features.has('subgroups');
  if (!usesSubgroups || !subgroupSizes || workgroup % subgroupSizes.most !== 0)
    return { source: part('decode-sums/memory'), enables: [], constants: { TILE_STRIDE: stride, KEPT: inputs } };
  const { least } = subgroupSizes;
  const fillLanes = Math.min(8, least);
  const mostSums = least >= lanes ? 0 : workgroup / least;
  const isOwn = tokens * mostSums * 16 <= MOST_SUM_BYTES;
  return {
    source: part('decode-sums/subgroups'),
    enables: ['subgroups'],
    constants: {
      TILE_STRIDE: stride,
      KEPT: isOwn ? inputs + tokens * mostSums : Math.max(inputs, tokens * mostSums),
      SUMS_AT: isOwn ? inputs : 0,
      MOST_SUMS: mostSums,
      MOST_SUBGROUPS: workgroup / least,
      LANE_STEPS: Math.log2(lanes),
      HOLDS_ROWS: least >= lanes,
      ...{ FILL_LANES: fillLanes, FILL_VECTORS: 8 / fillLanes, IS_ONE_TILE: tileBlocks >= blocks },
    },
  };
}

/** The same as linearDecodeKernel with inputs in workgroup memory, for devices with fast barriers. */
function linearSharedKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
  const { type, columns, gate, routed, tokens: atOnce = 1 } = options;
  const shape = sharedShape(device.variant, columns, atOnce);
  const { workgroup, lanes, rows: most, tileBlocks } = shape;
  const sums = summing(device, shape, atOnce);
  const rows = FEW_ROWS.has(type) ? 2 : most;
  const parts = codeParts(type);
  const outputs = gate ? rows / 2 : rows;
  const { reader, lora, sources, constants, flags, bindings, params } = decodeParts(device, options);
  return {
    name: 'linear-shared',
    sources: [...reader.sources, part('reduce-sum/workgroup'), ...lora.sources, ...sources, sums.source, sharedSource],
    enables: [...reader.enables, ...sums.enables],
    constants: {
      ...reader.constants,
      ...constants,
      ...{
        WORKGROUP: workgroup,
        LANES: workgroup,
        ROW_LANES: lanes,
        ROWS: rows,
        OUTPUTS: outputs,
        TILE_BLOCKS: tileBlocks,
      },
      ...sums.constants,
      ONE_INPUT: atOnce === 1 && !routed,
      ...{
        TOKENS: atOnce,
        TOKEN_QUADS: Math.ceil(atOnce / 4),
        CODE_PARTS: parts,
        HALF_BLOCKS: parts === 1 ? 2 : 1,
        QUADS: Math.min(4, 8 / parts),
      },
      // Scales multiply sums instead of weights: fewer instructions, but two tokens need more registers than quants with upper bits leave.
      SCALES_SUMS: atOnce === 1 || (atOnce === 2 && !weightBufferNames(type).includes('weight_high')),
      // INNER counts what stays in registers: the fewer of rows and tokens.
      ...{ TOKENS_OUTER: atOnce > rows, OUTER: Math.max(atOnce, rows), INNER: Math.min(atOnce, rows) },
      ...(routed && { EXPERTS_USED: routed.used }),
      ...flags,
    },
    bindings,
    params,
    groups: ({ outputs: all, tokens }) => [Math.ceil(all / outputs / (workgroup / lanes)), Math.ceil(tokens / atOnce)],
  };
}
