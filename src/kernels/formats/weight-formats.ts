import type { Device } from '../../gpu/device.ts';
import type { Binding, Constant } from '../../gpu/kernel.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import bits from '../../../shaders/parts/weights/bits.wgsl?raw';
import block from '../../../shaders/parts/block.wgsl?raw';
import fifthBits from '../../../shaders/parts/weights/fifth-bits.wgsl?raw';
import grid from '../../../shaders/parts/weights/grid.wgsl?raw';
import grid4 from '../../../shaders/parts/weights/grid4.wgsl?raw';
import nibbles from '../../../shaders/parts/weights/nibbles.wgsl?raw';
import pairs from '../../../shaders/parts/weights/pairs.wgsl?raw';
import thirdBits from '../../../shaders/parts/weights/third-bits.wgsl?raw';
import codes1 from '../../../shaders/slots/codes/1bit.wgsl?raw';
import codes2 from '../../../shaders/slots/codes/2bit.wgsl?raw';
import codes3 from '../../../shaders/slots/codes/3bit.wgsl?raw';
import codes4 from '../../../shaders/slots/codes/4bit.wgsl?raw';
import codes5 from '../../../shaders/slots/codes/5bit.wgsl?raw';
import codes6 from '../../../shaders/slots/codes/6bit.wgsl?raw';
import codes8 from '../../../shaders/slots/codes/8bit.wgsl?raw';
import codesCurve from '../../../shaders/slots/codes/curve.wgsl?raw';
import codesFloat32 from '../../../shaders/slots/codes/float32.wgsl?raw';
import codesGrid from '../../../shaders/slots/codes/grid.wgsl?raw';
import codesTernary from '../../../shaders/slots/codes/ternary.wgsl?raw';
import codes16 from '../../../shaders/slots/codes/16bit.wgsl?raw';
import halfBfloat from '../../../shaders/slots/half4/bfloat.wgsl?raw';
import scalesExponents from '../../../shaders/slots/scales/exponents.wgsl?raw';
import scalesGrid from '../../../shaders/slots/scales/grid.wgsl?raw';
import scalesNone from '../../../shaders/slots/scales/none.wgsl?raw';
import scalesSymmetric from '../../../shaders/slots/scales/symmetric.wgsl?raw';
import scalesAffine from '../../../shaders/slots/scales/affine.wgsl?raw';
import scalesSuper from '../../../shaders/slots/scales/super.wgsl?raw';
import scalesSuper2 from '../../../shaders/slots/scales/super2.wgsl?raw';
import scalesSuper3 from '../../../shaders/slots/scales/super3.wgsl?raw';
import scalesSuper4 from '../../../shaders/slots/scales/super4.wgsl?raw';
import scalesSuper6 from '../../../shaders/slots/scales/super6.wgsl?raw';
import { byteUnpacking, halfPrecision } from '../slot-choices.ts';

/** Names of a matrix's planes: codes, their upper bits, scales. Each is bound under its name. */
export type PlaneName = 'weight' | 'weight_high' | 'weight_scales';
export type Planes = Partial<Record<PlaneName, Uint32Array>>;

interface WeightFormat {
  /** Libraries that define `codes` and `scales` of a block of 32 columns. */
  sources: readonly string[];
  /** Bytes of each plane for 256 columns, and the type it is bound as. */
  planes: Partial<Record<PlaneName, { bytes: number; type: string }>>;
  constants?: Readonly<Record<string, Constant>>;
  /** In how many parts a block's codes are read; four words each by default. With minima there is one. */
  parts?: number;
}

const vec4 = (bytes: number) => ({ bytes, type: 'array<vec4u>' });
const vec2 = (bytes: number) => ({ bytes, type: 'array<vec2u>' });
const words = (bytes: number) => ({ bytes, type: 'array<u32>' });

/** For scales/symmetric.wgsl: what is added to a code before it is scaled, and blocks of 32 that share a scale. */
const symmetric = (codeOffset: number, span = 1) => ({ CODE_OFFSET: { f32: codeOffset }, SCALE_SPAN: span });

/** For codes/curve.wgsl: what a polynomial's powers are multiplied by, from 0 to 4. */
const curve = (...factors: readonly number[]) => Object.fromEntries(factors.map((f32, i) => [`CURVE_${i}`, { f32 }]));

/** IQ4_NL and IQ4_XS: at most 0.433 from −127, −104, −83, −65, −49, −35, −22, −10, 1, 13, 25, 38, 53, 69, 89 and 113. */
const NON_LINEAR = curve(1.43299, 11.4398, -0.0168121, 0.0818398, 0.00158604);
/** MXFP4, doubled: at most 0.424 from 0, ±1, ±2, ±3, ±4, ±6, ±8 and ±12. */
const FLOAT4 = curve(0, 0.711538, 0, 0.0192308, 0);

/** How each type lies on the GPU: as many bytes as in the file, save for Q6_K's (+1 %) and Q3_K's (+2 %), whose scale is f32 here. */
export const WEIGHT_FORMATS: Record<GgmlType, WeightFormat> = {
  F32: { sources: [codesFloat32, scalesNone], planes: { weight: vec4(1024) } },
  F16: { sources: [codes16, scalesNone], planes: { weight: vec4(512) } },
  BF16: { sources: [halfBfloat, codes16, scalesNone], planes: { weight: vec4(512) } },
  Q1_0: {
    sources: [bits, codes1, scalesSymmetric],
    planes: { weight: words(32), weight_scales: words(4) },
    constants: symmetric(-1, 4),
  },
  Q2_0: {
    sources: [pairs, codes2, scalesSymmetric],
    planes: { weight: vec2(64), weight_scales: words(8) },
    constants: symmetric(-1, 2),
  },
  Q4_0: {
    sources: [nibbles, codes4, scalesSymmetric],
    planes: { weight: vec4(128), weight_scales: words(16) },
    constants: symmetric(-8),
  },
  Q4_1: { sources: [nibbles, codes4, scalesAffine], planes: { weight: vec4(128), weight_scales: words(32) } },
  Q5_0: {
    sources: [nibbles, fifthBits, codes5, scalesSymmetric],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: words(16) },
    constants: symmetric(-16),
  },
  Q5_1: {
    sources: [nibbles, fifthBits, codes5, scalesAffine],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: words(32) },
  },
  Q8_0: {
    sources: [codes8, scalesSymmetric],
    planes: { weight: vec4(256), weight_scales: words(16) },
    constants: symmetric(0),
  },
  Q2_K: { sources: [pairs, codes2, scalesSuper2], planes: { weight: vec2(64), weight_scales: words(20) } },
  Q3_K: {
    sources: [pairs, thirdBits, codes3, scalesSuper3],
    planes: { weight: vec2(64), weight_high: words(32), weight_scales: vec4(16) },
  },
  Q4_K: { sources: [nibbles, codes4, scalesSuper], planes: { weight: vec4(128), weight_scales: vec4(16) } },
  Q5_K: {
    sources: [nibbles, fifthBits, codes5, scalesSuper],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: vec4(16) },
  },
  Q6_K: {
    sources: [nibbles, codes6, scalesSuper6],
    planes: { weight: vec4(128), weight_high: vec2(64), weight_scales: words(20) },
  },
  IQ3_XXS: {
    sources: [grid, grid4, codesGrid, scalesGrid],
    planes: { weight: vec2(64), weight_high: words(32), weight_scales: words(2) },
    constants: symmetric(0, 8), // in tiles
  },
  IQ4_NL: {
    sources: [codesCurve, scalesSymmetric],
    planes: { weight: vec4(128), weight_scales: words(16) },
    constants: { ...NON_LINEAR, ...symmetric(0) },
  },
  IQ4_XS: {
    sources: [codesCurve, scalesSuper4],
    planes: { weight: vec4(128), weight_scales: vec2(8) },
    constants: NON_LINEAR,
  },
  TQ1_0: {
    sources: [codesTernary, scalesSymmetric],
    planes: { weight: vec4(48), weight_high: words(4), weight_scales: words(2) },
    constants: symmetric(0, 8),
    parts: 2, // a half has all digits it needs in four words
  },
  TQ2_0: {
    sources: [pairs, codes2, scalesSymmetric],
    planes: { weight: vec2(64), weight_scales: words(2) },
    constants: symmetric(-1, 8),
  },
  MXFP4: {
    sources: [codesCurve, scalesExponents],
    planes: { weight: vec4(128), weight_scales: words(8) },
    constants: FLOAT4,
  },
};

export const planeNames = (type: GgmlType): PlaneName[] => Object.keys(WEIGHT_FORMATS[type].planes) as PlaneName[];

/** In how many parts a block's codes are read, without their upper bits: of four words at most. */
export function codeParts(type: GgmlType): number {
  const { parts, planes } = WEIGHT_FORMATS[type];
  return parts ?? Math.max(1, (planes.weight?.bytes ?? 0) / 128);
}

/** What a kernel that reads weights of `type` with `columns` columns is made of, beside its own text. */
export function weightReader(device: Device, type: GgmlType, columns: number) {
  return readerOf(device, type, columns, WEIGHT_FORMATS[type]);
}

/** The same with `sources` and `planes` of another reading of the type. */
export function readerOf(
  device: Device,
  type: GgmlType,
  columns: number,
  { sources, planes, constants }: Pick<WeightFormat, 'sources' | 'planes' | 'constants'>,
) {
  const half = type === 'F16' ? halfPrecision(device) : undefined;
  return {
    sources: [block, ...(half ? [half.source] : []), ...(type === 'Q6_K' ? [byteUnpacking(device)] : []), ...sources],
    enables: half?.enables ?? [],
    constants: { BLOCKS: columns / 32, ...constants },
    bindings: Object.entries(planes).map(([name, { type }]): Binding => ({ name, type, access: 'read' })),
  };
}
