import type { Device } from '../../gpu/device.ts';
import type { Binding, Constant } from '../../gpu/kernel.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import { byteUnpacking, halfPrecision } from '../kernel-variants.ts';
import { part } from '../shader-library.ts';

/** Names of a matrix's buffers, under which kernels bind them: quants, upper bits of quants, scales. */
export type WeightBufferName = 'weight' | 'weight_high' | 'weight_scales';
/** Words of a matrix's buffers. */
export type WeightBuffers = Partial<Record<WeightBufferName, Uint32Array>>;

interface WeightFormat {
  /** Names of the shader parts that define `codes` and `scales` of a block of 32 columns. */
  sources: readonly string[];
  /** Bytes of each buffer for 256 columns, and the WGSL type that it is bound as. */
  buffers: Partial<Record<WeightBufferName, { bytes: number; type: string }>>;
  constants?: Readonly<Record<string, Constant>>;
  /** Parts in which a kernel reads a block's quants; default: one for each four words. A type with minima has one. */
  parts?: number;
}

const vec4 = (bytes: number) => ({ bytes, type: 'array<vec4u>' });
const vec2 = (bytes: number) => ({ bytes, type: 'array<vec2u>' });
const words = (bytes: number) => ({ bytes, type: 'array<u32>' });

/** For `scales/symmetric`: the offset of a quant before it is scaled, and blocks of 32 that share a scale. */
const symmetric = (codeOffset: number, span = 1) => ({ CODE_OFFSET: { f32: codeOffset }, SCALE_SPAN: span });

/** For `codes/curve`: coefficients of a polynomial, of powers 0 to 4. */
const curve = (...factors: readonly number[]) => Object.fromEntries(factors.map((f32, i) => [`CURVE_${i}`, { f32 }]));

/** IQ4_NL and IQ4_XS: at most 0.433 from −127, −104, −83, −65, −49, −35, −22, −10, 1, 13, 25, 38, 53, 69, 89 and 113. */
const NON_LINEAR = curve(1.43299, 11.4398, -0.0168121, 0.0818398, 0.00158604);
/** MXFP4, doubled: at most 0.424 from 0, ±1, ±2, ±3, ±4, ±6, ±8 and ±12. */
const FLOAT4 = curve(0, 0.711538, 0, 0.0192308, 0);

/** Layout of each type on the GPU. Sizes match the file, except Q6_K (+1 %) and Q3_K (+2 %), whose scale is f32 here. */
export const WEIGHT_FORMATS: Record<GgmlType, WeightFormat> = {
  F32: { sources: ['codes/float32', 'scales/none'], buffers: { weight: vec4(1024) } },
  F16: { sources: ['codes/16bit', 'scales/none'], buffers: { weight: vec4(512) } },
  BF16: { sources: ['half4/bfloat', 'codes/16bit', 'scales/none'], buffers: { weight: vec4(512) } },
  Q1_0: {
    sources: ['bits', 'codes/1bit', 'scales/symmetric'],
    buffers: { weight: words(32), weight_scales: words(4) },
    constants: symmetric(-1, 4),
  },
  Q2_0: {
    sources: ['pairs', 'codes/2bit', 'scales/symmetric'],
    buffers: { weight: vec2(64), weight_scales: words(8) },
    constants: symmetric(-1, 2),
  },
  Q4_0: {
    sources: ['nibbles', 'codes/4bit', 'scales/symmetric'],
    buffers: { weight: vec4(128), weight_scales: words(16) },
    constants: symmetric(-8),
  },
  Q4_1: {
    sources: ['nibbles', 'codes/4bit', 'scales/affine'],
    buffers: { weight: vec4(128), weight_scales: words(32) },
  },
  Q5_0: {
    sources: ['nibbles', 'fifth-bits', 'codes/5bit', 'scales/symmetric'],
    buffers: { weight: vec4(128), weight_high: words(32), weight_scales: words(16) },
    constants: symmetric(-16),
  },
  Q5_1: {
    sources: ['nibbles', 'fifth-bits', 'codes/5bit', 'scales/affine'],
    buffers: { weight: vec4(128), weight_high: words(32), weight_scales: words(32) },
  },
  Q8_0: {
    sources: ['codes/8bit', 'scales/symmetric'],
    buffers: { weight: vec4(256), weight_scales: words(16) },
    constants: symmetric(0),
  },
  Q2_K: { sources: ['pairs', 'codes/2bit', 'scales/super2'], buffers: { weight: vec2(64), weight_scales: words(20) } },
  Q3_K: {
    sources: ['pairs', 'third-bits', 'codes/3bit', 'scales/super3'],
    buffers: { weight: vec2(64), weight_high: words(32), weight_scales: vec4(16) },
  },
  Q4_K: { sources: ['nibbles', 'codes/4bit', 'scales/super'], buffers: { weight: vec4(128), weight_scales: vec4(16) } },
  Q5_K: {
    sources: ['nibbles', 'fifth-bits', 'codes/5bit', 'scales/super'],
    buffers: { weight: vec4(128), weight_high: words(32), weight_scales: vec4(16) },
  },
  Q6_K: {
    sources: ['nibbles', 'codes/6bit', 'scales/super6'],
    buffers: { weight: vec4(128), weight_high: vec2(64), weight_scales: words(20) },
  },
  IQ3_XXS: {
    sources: ['grid', 'grid4', 'codes/grid', 'scales/grid'],
    buffers: { weight: vec2(64), weight_high: words(32), weight_scales: words(2) },
    constants: symmetric(0, 8), // for tiles
  },
  IQ4_NL: {
    sources: ['codes/curve', 'scales/symmetric'],
    buffers: { weight: vec4(128), weight_scales: words(16) },
    constants: { ...NON_LINEAR, ...symmetric(0) },
  },
  IQ4_XS: {
    sources: ['codes/curve', 'scales/super4'],
    buffers: { weight: vec4(128), weight_scales: vec2(8) },
    constants: NON_LINEAR,
  },
  TQ1_0: {
    sources: ['codes/ternary', 'scales/symmetric'],
    buffers: { weight: vec4(48), weight_high: words(4), weight_scales: words(2) },
    constants: symmetric(0, 8),
    parts: 2, // four words hold all digits that a half block needs
  },
  TQ2_0: {
    sources: ['pairs', 'codes/2bit', 'scales/symmetric'],
    buffers: { weight: vec2(64), weight_scales: words(2) },
    constants: symmetric(-1, 8),
  },
  MXFP4: {
    sources: ['codes/curve', 'scales/exponents'],
    buffers: { weight: vec4(128), weight_scales: words(8) },
    constants: FLOAT4,
  },
};

export const weightBufferNames = (type: GgmlType): WeightBufferName[] =>
  Object.keys(WEIGHT_FORMATS[type].buffers) as WeightBufferName[];

/** Parts in which a kernel reads a block's quants, without their upper bits: at most four words each. */
export function codeParts(type: GgmlType): number {
  const { parts, buffers } = WEIGHT_FORMATS[type];
  return parts ?? Math.max(1, (buffers.weight?.bytes ?? 0) / 128);
}

/** Texts, directives, constants and bindings of a kernel that reads weights of `type` with `columns` columns. */
export function weightReader(device: Device, type: GgmlType, columns: number) {
  return readerOf(device, type, columns, WEIGHT_FORMATS[type]);
}

function readerOf(
  device: Device,
  type: GgmlType,
  columns: number,
  { sources, buffers, constants }: Pick<WeightFormat, 'sources' | 'buffers' | 'constants'>,
) {
  const half = type === 'F16' ? halfPrecision(device) : undefined;
  return {
    sources: [
      part('block'),
      ...(half ? [half.source] : []),
      ...(type === 'Q6_K' ? [byteUnpacking(device)] : []),
      ...sources.map(part),
    ],
    enables: half?.enables ?? [],
    constants: { BLOCKS: columns / 32, ...constants },
    bindings: Object.entries(buffers).map(([name, { type }]): Binding => ({ name, type, access: 'read' })),
  };
}

/**
 * How linear-tiled reads a type. Four invocations share a row and read a part each at a time. A load fetches 32 bytes
 * however few it needs, so short buffers are read for a run of blocks at once and kept in registers.
 */
interface TileFormat {
  /** Most blocks of a run: a power of two. */
  run: number;
  /** Invocations, of the four, that share a run. */
  lanes: 2 | 4;
  /** An invocation has consecutive blocks of a run, not every `lanes`th. */
  inOrder?: true;
  /** Vectors of columns from the first to the second vector of a step; default 1. */
  vectorsApart?: 1 | 4;
  /** Shader parts that replace the type's own, and types that replace those of some buffers. */
  sources?: readonly string[];
  types?: Partial<Record<WeightBufferName, string>>;
}

const ONE_BLOCK: TileFormat = { run: 1, lanes: 4 };
const SUPER_BLOCK: TileFormat = { run: 8, lanes: 2 };

const vec4s = 'array<vec4u>';
const vec2s = 'array<vec2u>';
/** A run of blocks whose f16 scales fill `words` words. */
const halves = (run: number, words: 2 | 4, ...codes: readonly string[]): TileFormat => ({
  ...{ run, lanes: 2, sources: [...codes, words === 4 ? 'run-words/four' : 'run-words/two', 'scales/symmetric-runs'] },
  types: { weight_scales: words === 4 ? vec4s : vec2s },
});
/** A run of eight blocks with five words of scales; an invocation keeps the scales of its two blocks. */
const fiveWords = (...sources: readonly string[]): TileFormat => ({
  run: 8,
  lanes: 4,
  sources: [...sources, 'next-codes/each', 'five-word-runs'],
  types: { weight_scales: vec4s },
});
/** Two blocks that follow each other: 16 bytes of quants and 8 of upper bits. */
const twoBlocks = (...sources: readonly string[]): TileFormat => ({
  ...{
    run: 8,
    lanes: 4,
    inOrder: true,
    sources: [...sources, 'next-codes/two-blocks'],
    types: { weight: vec4s, weight_high: vec2s },
  },
});
const FIVE_BITS = ['nibbles', 'fifth-bits', 'codes/5bit-runs', 'next-codes/fifth-bits'];

const TILE_FORMATS: Partial<Record<GgmlType, TileFormat>> = {
  F32: { ...ONE_BLOCK, vectorsApart: 4 },
  Q1_0: {
    run: 16,
    lanes: 4,
    inOrder: true,
    sources: ['bits', 'codes/1bit-runs', 'next-codes/bits', 'run-words/two', 'scales/symmetric-runs'],
    types: { weight: vec4s, weight_scales: vec2s },
  },
  Q2_0: { ...halves(16, 4, 'pairs', 'codes/2bit', 'next-codes/each'), lanes: 4 },
  Q4_0: halves(8, 4, 'nibbles', 'codes/4bit', 'next-codes/each'),
  Q4_1: {
    run: 4,
    lanes: 2,
    sources: ['nibbles', 'codes/4bit', 'next-codes/each', 'scales/affine-runs'],
    types: { weight_scales: vec4s },
  },
  Q5_0: { ...halves(4, 2, ...FIVE_BITS), types: { weight_high: vec4s, weight_scales: vec2s } },
  Q5_1: {
    run: 4,
    lanes: 2,
    sources: [...FIVE_BITS, 'scales/affine-runs'],
    types: { weight_high: vec4s, weight_scales: vec4s },
  },
  Q8_0: halves(4, 2, 'codes/8bit', 'next-codes/each'),
  Q2_K: fiveWords('pairs', 'codes/2bit', 'scales/super2-runs'),
  Q3_K: twoBlocks('pairs', 'third-bits', 'codes/3bit-runs', 'scales/super3-runs'),
  Q4_K: SUPER_BLOCK,
  Q5_K: { run: 4, lanes: 2, sources: [...FIVE_BITS, 'scales/super-runs'], types: { weight_high: vec4s } },
  Q6_K: fiveWords('nibbles', 'codes/6bit', 'scales/super6-runs'),
  IQ3_XXS: twoBlocks('grid', 'grid4', 'codes/grid-runs', 'scales/symmetric'),
  IQ4_NL: halves(8, 4, 'codes/curve', 'next-codes/each'),
  IQ4_XS: SUPER_BLOCK,
  TQ1_0: { run: 16, lanes: 4 },
  TQ2_0: { run: 16, lanes: 4 },
  MXFP4: { run: 4, lanes: 2 },
};

const UNROLLED_COLUMNS = 256;

/** The same as weightReader for linear-tiled. */
export function tileReader(device: Device, type: GgmlType, columns: number) {
  const format = WEIGHT_FORMATS[type];
  const {
    run,
    lanes,
    inOrder = false,
    vectorsApart = 1,
    sources = [...format.sources, 'next-codes/each'],
    types = {},
  } = TILE_FORMATS[type] ?? ONE_BLOCK;
  const buffers = Object.fromEntries(
    Object.entries(format.buffers).map(([name, buffer]) => [
      name,
      { ...buffer, type: types[name as WeightBufferName] ?? buffer.type },
    ]),
  );
  const reader = readerOf(device, type, columns, { ...format, sources, buffers });
  const parts = Math.min(4, codeParts(type));
  // A run ends with its row. The rounds of rows this short are unrolled and leave no registers to keep a run in.
  const blocks = columns <= UNROLLED_COLUMNS ? 1 : Math.min(run, evenFactor(columns / 32));
  return {
    ...reader,
    constants: {
      ...reader.constants,
      TILE_PARTS: parts,
      RUN: blocks,
      RUN_LANES: Math.min(lanes, blocks * parts),
      IN_ORDER: inOrder,
      VECTORS_APART: vectorsApart,
    },
  };
}

/** The largest power of two that divides `n`. */
const evenFactor = (n: number): number => n & -n;
