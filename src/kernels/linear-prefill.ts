import source from '../../shaders/linear-prefill/linear-prefill.wgsl?raw';
import packedSource from '../../shaders/linear-prefill/linear-packed.wgsl?raw';
import tiledSource from '../../shaders/linear-prefill/linear-tiled.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import { type Binding, type Kernel, reads, writes } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { tileReader, WEIGHT_FORMATS, weightReader } from './formats/weight-formats.ts';
import { inputLoading } from './kernel-variants.ts';
import { type LoraSite, loraParts } from './lora-layout.ts';
import { part } from './shader-library.ts';

export interface LinearPrefillOptions {
  type: GgmlType;
  columns: number;
  /** Add the product to the output. */
  accumulate?: boolean;
  hasBias?: boolean;
  /** Add B · h of the adapters to the product. */
  adds?: LoraSite;
}

type PrefillSize = { rows: number; tokens: number };

/** y = W · x of many tokens: tiles in registers, or in workgroup memory, as the device's variant says. */
export function prefillKernel(device: Device, options: LinearPrefillOptions): Kernel<PrefillSize> {
  const words = PACKED[options.type];
  if (device.variant.roundsInputs && words && !options.adds) return linearPackedKernel(device, words, options);
  return device.variant.tileRows > 0 ? linearTiledKernel(device, options) : linearPrefillKernel(device, options);
}

/** Rows and tokens that one invocation of linear-prefill computes. */
const REGISTER_ROWS = 8;
export const TILE_TOKENS = 8;

const linearBindings = (weights: readonly Binding[], hasBias: boolean, lora: readonly Binding[]): Binding[] => [
  ...weights,
  reads('x', 'vec4f'),
  ...(hasBias ? [reads('bias_values', 'f32')] : []),
  writes('y', 'f32'),
  ...lora,
];

/**
 * `x [T, columns]` → `y [T, outputWidth]`, T rounded up to a multiple of TILE_TOKENS. Params: the slice's first output
 * row, its rows, the factor of the product before the bias, and the width of y.
 */
function linearPrefillKernel(device: Device, options: LinearPrefillOptions): Kernel<PrefillSize> {
  const { prefillWorkgroup } = device.variant;
  const { type, columns, accumulate = false, hasBias = false, adds } = options;
  const reader = weightReader(device, type, columns);
  const loading = inputLoading(device);
  const lora = loraParts({ adds });
  return {
    name: 'linear-prefill',
    sources: [
      ...[...reader.sources, part('weight-block'), loading.input, part(hasBias ? 'bias/vector' : 'bias/none')],
      ...lora.sources,
      ...(adds ? [loading.low, part('lora-tile/columns')] : [part('lora-tile/none')]),
      source,
    ],
    enables: [...reader.enables, ...(loading.enables ?? [])],
    constants: {
      ...reader.constants,
      ...lora.constants,
      WORKGROUP: prefillWorkgroup,
      ACCUMULATE: accumulate,
    },
    bindings: linearBindings(reader.bindings, hasBias, lora.bindings),
    params: { ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', outputWidth: 'u32' }, ...lora.params },
    groups: ({ rows, tokens }) => [Math.ceil(rows / REGISTER_ROWS / prefillWorkgroup), Math.ceil(tokens / TILE_TOKENS)],
  };
}

/** Rows of a tile that the invocations of one row of a workgroup compute at a time, and tokens of each invocation. */
const ROWS_AT_ONCE = 16;
const TOKENS_EACH = 4;

/** Tokens of a tile in workgroup memory. */
export const tileTokens = (workgroup: number): number => (workgroup / ROWS_AT_ONCE) * TOKENS_EACH;

/**
 * Texts and constants of kernels that multiply tiles in workgroup memory, for `x [T, columns]`. `workgroup`: invocations,
 * sixteen for each four tokens; `rows` of a tile, a multiple of sixteen; `weights`: their type in workgroup memory.
 */
export const tileParts = (
  workgroup: number,
  rows: number,
  weights: 'f32' | 'f16',
): Pick<Kernel, 'sources' | 'constants'> => ({
  sources: [
    part(weights === 'f32' ? 'tile-weight/whole' : 'tile-weight/halves'),
    part('tile-product'),
    part('tile-inputs'),
  ],
  constants: { WORKGROUP: workgroup, ROWS_EACH: rows / ROWS_AT_ONCE },
});

/**
 * The same as linearPrefillKernel with tiles in workgroup memory, for devices with fast barriers. It rounds no weight, so
 * a prompt gives the same results in one batch as token by token. One more param: T.
 */
function linearTiledKernel(device: Device, options: LinearPrefillOptions): Kernel<PrefillSize> {
  const { prefillWorkgroup: workgroup, tileRows: rows } = device.variant;
  const { type, columns, accumulate = false, hasBias = false, adds } = options;
  const reader = tileReader(device, type, columns);
  const tile = tileParts(workgroup, rows, 'f32');
  const lora = loraParts({ adds });
  return {
    name: 'linear-tiled',
    sources: [
      ...[...reader.sources, ...tile.sources, part(hasBias ? 'bias/vector' : 'bias/none'), part('store-product')],
      ...lora.sources,
      part(adds ? 'tile-lora/columns' : 'tile-lora/none'),
      tiledSource,
    ],
    enables: reader.enables,
    constants: {
      ...reader.constants,
      ...tile.constants,
      ...lora.constants,
      ...{ HELD: Math.max(1, (4 * rows) / workgroup), ACCUMULATE: accumulate },
    },
    bindings: linearBindings(reader.bindings, hasBias, lora.bindings),
    params: { ...{ rowStart: 'u32', rows: 'u32', scale: 'f32', outputWidth: 'u32', tokens: 'u32' }, ...lora.params },
    groups: ({ rows: outputs, tokens }) => [Math.ceil(outputs / rows), Math.ceil(tokens / tileTokens(workgroup))],
  };
}

/** How linear-packed unpacks a type to 8-bit integers. A block of the others has two scales, or quants of other sizes. */
const PACKED: Partial<Record<GgmlType, 'nibbles' | 'bytes'>> = {
  Q4_0: 'nibbles',
  Q4_1: 'nibbles',
  Q4_K: 'nibbles',
  Q8_0: 'bytes',
};
const PACKED_TILE = 64;

/** The same as linearTiledKernel with inputs rounded to 8 bits, for devices that multiply four 8-bit integers at once. */
function linearPackedKernel(
  device: Device,
  words: 'nibbles' | 'bytes',
  { type, columns, accumulate = false, hasBias = false }: LinearPrefillOptions,
): Kernel<PrefillSize> {
  const { constants, bindings } = weightReader(device, type, columns);
  return {
    name: 'linear-packed',
    sources: [
      part(WEIGHT_FORMATS[type].sources.find((name) => name.startsWith('scales/')) as string),
      ...[part(`packed-words/${words}`), part(hasBias ? 'bias/vector' : 'bias/none'), part('store-product')],
      packedSource,
    ],
    constants: { ...constants, WORKGROUP: 256, VECTORS: 8, PAIRS: 4, ROWS: 4, ACCUMULATE: accumulate },
    bindings: linearBindings(bindings, hasBias, []),
    params: { rowStart: 'u32', rows: 'u32', scale: 'f32', outputWidth: 'u32', tokens: 'u32' },
    groups: ({ rows, tokens }) => [Math.ceil(rows / PACKED_TILE), Math.ceil(tokens / PACKED_TILE)],
  };
}
