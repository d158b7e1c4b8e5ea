import source from '../../shaders/linear-decode.wgsl?raw';
import noActivation from '../../shaders/slots/activation/none.wgsl?raw';
import biasBehindNorm from '../../shaders/slots/bias/behind-norm.wgsl?raw';
import biasAlone from '../../shaders/slots/bias/vector.wgsl?raw';
import expertNone from '../../shaders/slots/expert/none.wgsl?raw';
import expertRouted from '../../shaders/slots/expert/routed.wgsl?raw';
import inputNormed from '../../shaders/slots/input/normed.wgsl?raw';
import inputPlain from '../../shaders/slots/input/plain.wgsl?raw';
import loraAdd from '../../shaders/slots/lora-add/low.wgsl?raw';
import loraNone from '../../shaders/slots/lora-add/none.wgsl?raw';
import noBias from '../../shaders/slots/bias/none.wgsl?raw';
import rideLow from '../../shaders/slots/rides/low.wgsl?raw';
import rideNone from '../../shaders/slots/rides/none.wgsl?raw';
import rideRouted from '../../shaders/slots/rides/routed.wgsl?raw';
import type { Activation } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Binding, Constant, Kernel, ParamsLayout } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { ACTIVATIONS, inputLoading, loraLow, reduction } from './slot-choices.ts';
import { weightReader } from './formats/weight-formats.ts';

export interface LinearDecodeOptions {
  type: GgmlType;
  columns: number;
  /** RMS-norm the input on the way, with this epsilon. */
  normEps?: number;
  /** Rows are gate, then up: the output is activation(gate) · up, half as long. */
  gate?: Activation;
  /** Add to what the output holds. */
  accumulate?: boolean;
  /** With a norm it lies behind its weights, in one buffer; see `biasStart`. */
  hasBias?: boolean;
  /** Tokens an invocation computes: 1, or 2 where there are several; linear-shared.ts takes up to 8. */
  tokens?: 1 | 2 | 4 | 8;
  /** Add adapters' B · h to the outputs, before what else is done to them. */
  adds?: LoraSite;
  /** Workgroups behind the kernel's own compute adapters' A · x. Not with a norm. */
  lowers?: LoraSite;
  /**
   * Each token of the output goes through an expert of its own; so many of them, one after another, read one input. Without
   * adapters, and one token at a time unless they are `grouped` by expert, of which linear-shared.ts alone knows.
   */
  routed?: { used: number; grouped?: boolean };
}

const ROWS = 4;

/** Where a bias begins behind a norm's weights `[columns]`, in floats: kernels of many tokens bind it alone. */
export const biasStart = (columns: number): number => Math.ceil(columns / 64) * 64;

/** A norm's weights, and a bias behind them. */
export function behindNorm(weights: Float32Array, bias: Float32Array): Float32Array<ArrayBuffer> {
  const start = biasStart(weights.length);
  const both = new Float32Array(start + Math.ceil(bias.length / 4) * 4); // read in vectors
  both.set(weights);
  both.set(bias, start);
  return both;
}

/** What adds a bias of a linear of few tokens, if it has one. */
export function biasParts({
  columns,
  normEps,
  hasBias = false,
}: Pick<LinearDecodeOptions, 'columns' | 'normEps' | 'hasBias'>): {
  source: string;
  constants: Readonly<Record<string, Constant>>;
} {
  if (!hasBias) return { source: noBias, constants: {} };
  if (normEps === undefined) return { source: biasAlone, constants: {} };
  return { source: biasBehindNorm, constants: { BIAS_START: biasStart(columns) } };
}

/** `outputs`: rows of the slice, or half of them when gated. */
export interface LinearDecodeSize {
  outputs: number;
  tokens: number;
}

/**
 * `x [T, columns]` → `y [T, outputWidth]`. Params: the slice's first output row, its rows, what the product is
 * multiplied by before the bias, T, the width of y; `groups`: workgroups of the kernel's own; of
 * experts the first one of the slice, and how many it has: its rows are those of one.
 */
export function linearDecodeKernel(device: Device, options: LinearDecodeOptions): Kernel<LinearDecodeSize> {
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
    tokens = 1,
  } = options;
  const reader = weightReader(device, type, columns);
  const reduce = reduction(device);
  const loading = inputLoading(device);
  const lora = loraParts({ adds, lowers });
  const normed = normEps !== undefined;
  const low = lowers && loraLow(device);
  const bias = biasParts(options);
  return {
    name: 'linear-decode',
    sources: [
      ...[...reader.sources, reduce.source, loading.input, loading.squares, ...lora.sources],
      ...(normed ? [inputNormed] : [inputPlain]),
      ...[gate ? ACTIVATIONS[gate] : noActivation, bias.source],
      ...(adds ? [loraAdd] : [loraNone]),
      ...(low ? [...low.sources, rideLow] : [routed ? rideRouted : rideNone]),
      routed ? expertRouted : expertNone,
      source,
    ],
    enables: [...reader.enables, ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      ...reduce.constants,
      ...lora.constants,
      ...low?.constants,
      ...bias.constants,
      ...(routed && { EXPERTS_USED: routed.used }),
      TOKENS: tokens,
      ONE_INPUT: tokens === 1 && !routed,
      NORMED: normed,
      NORM_EPS: { f32: normEps ?? 0 },
      GATED: gate !== undefined,
      ACCUMULATE: accumulate,
    },
    bindings: linearBindings(reader.bindings, lora.bindings, { normed, hasBias, routed }),
    params: linearParams(lora.params, { lowers, routed }),
    groups: ({ outputs, tokens: all }) => [Math.ceil(outputs / ROWS / reduce.rowsPerGroup), Math.ceil(all / tokens)],
  };
}

/** Of a linear of few tokens: its weights, x, y, and what adapters bind. */
export function linearBindings(
  weights: readonly Binding[],
  lora: readonly Binding[],
  { normed, hasBias, routed }: { normed: boolean; hasBias: boolean; routed: LinearDecodeOptions['routed'] },
): Binding[] {
  return [
    ...weights,
    { name: 'x', type: 'array<vec4f>', access: 'read' },
    ...(normed ? [{ name: 'norm_weight', type: 'array<vec4f>', access: 'read' as const }] : []),
    ...(hasBias && !normed ? [{ name: 'bias_values', type: 'array<f32>', access: 'read' as const }] : []),
    ...(routed ? [{ name: 'routes', type: 'array<vec2u>', access: 'read' as const }] : []),
    { name: 'y', type: 'array<f32>', access: 'read_write' },
    ...lora,
  ];
}

/** The same: `lowers` where workgroups behind its own compute A · x, `routed` where tokens go through experts. */
export const linearParams = (
  lora: ParamsLayout,
  { lowers, routed }: Pick<LinearDecodeOptions, 'lowers' | 'routed'>,
): ParamsLayout => ({
  ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', tokens: 'u32', outputWidth: 'u32' },
  ...lora,
  ...(lowers && { groups: 'u32' }),
  ...(routed && { firstExpert: 'u32', experts: 'u32' }),
});
