import type { Device } from '../../gpu/device.ts';
import type { Binding, Constant } from '../../gpu/kernel.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import block from '../../../shaders/parts/block.wgsl?raw';
import nibbles from '../../../shaders/parts/nibbles.wgsl?raw';
import codes4 from '../../../shaders/slots/codes/4bit.wgsl?raw';
import codes5 from '../../../shaders/slots/codes/5bit.wgsl?raw';
import codes6 from '../../../shaders/slots/codes/6bit.wgsl?raw';
import codes8 from '../../../shaders/slots/codes/8bit.wgsl?raw';
import codesFloat32 from '../../../shaders/slots/codes/float32.wgsl?raw';
import codes16 from '../../../shaders/slots/codes/16bit.wgsl?raw';
import halfBfloat from '../../../shaders/slots/half4/bfloat.wgsl?raw';
import scalesNone from '../../../shaders/slots/scales/none.wgsl?raw';
import scalesSymmetric from '../../../shaders/slots/scales/symmetric.wgsl?raw';
import scalesAffine from '../../../shaders/slots/scales/affine.wgsl?raw';
import scalesSuper from '../../../shaders/slots/scales/super.wgsl?raw';
import scalesSuper6 from '../../../shaders/slots/scales/super6.wgsl?raw';
import { byteUnpacking, halfPrecision } from '../slot-choices.ts';

/** Names of a matrix's planes: codes, their upper bits, scales. Each is bound under its name. */
export type PlaneName = 'weight' | 'weight_high' | 'weight_scales';

interface WeightFormat {
  /** Libraries that define `codes` and `scales` of a block of 32 columns. */
  sources: readonly string[];
  /** Bytes of each plane for 256 columns, and the type it is bound as. */
  planes: Partial<Record<PlaneName, { bytes: number; type: string }>>;
  /** Added to a code before it is scaled; for scales-symmetric.wgsl. */
  codeOffset?: number;
}

const vec4 = (bytes: number) => ({ bytes, type: 'array<vec4u>' });
const words = (bytes: number) => ({ bytes, type: 'array<u32>' });

/** How each type lies on the GPU: as many bytes as in the file, save for Q6_K's (+1 %, its scale as f32). */
export const WEIGHT_FORMATS: Record<GgmlType, WeightFormat> = {
  F32: { sources: [codesFloat32, scalesNone], planes: { weight: vec4(1024) } },
  F16: { sources: [codes16, scalesNone], planes: { weight: vec4(512) } },
  BF16: { sources: [halfBfloat, codes16, scalesNone], planes: { weight: vec4(512) } },
  Q4_0: {
    sources: [nibbles, codes4, scalesSymmetric],
    planes: { weight: vec4(128), weight_scales: words(16) },
    codeOffset: -8,
  },
  Q4_1: { sources: [nibbles, codes4, scalesAffine], planes: { weight: vec4(128), weight_scales: words(32) } },
  Q5_0: {
    sources: [nibbles, codes5, scalesSymmetric],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: words(16) },
    codeOffset: -16,
  },
  Q5_1: {
    sources: [nibbles, codes5, scalesAffine],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: words(32) },
  },
  Q8_0: {
    sources: [codes8, scalesSymmetric],
    planes: { weight: vec4(256), weight_scales: words(16) },
    codeOffset: 0,
  },
  Q4_K: { sources: [nibbles, codes4, scalesSuper], planes: { weight: vec4(128), weight_scales: vec4(16) } },
  Q5_K: {
    sources: [nibbles, codes5, scalesSuper],
    planes: { weight: vec4(128), weight_high: words(32), weight_scales: vec4(16) },
  },
  Q6_K: {
    sources: [nibbles, codes6, scalesSuper6],
    planes: { weight: vec4(128), weight_high: { bytes: 64, type: 'array<vec2u>' }, weight_scales: words(20) },
  },
};

export const planeNames = (type: GgmlType): PlaneName[] => Object.keys(WEIGHT_FORMATS[type].planes) as PlaneName[];

/** Vectors of four words that a block's codes are, without their upper bits. */
export const codeParts = (type: GgmlType): number => (WEIGHT_FORMATS[type].planes.weight?.bytes ?? 0) / 128;

/** What a kernel that reads weights of `type` with `columns` columns is made of, beside its own text. */
export function weightReader(device: Device, type: GgmlType, columns: number) {
  const { sources, planes, codeOffset } = WEIGHT_FORMATS[type];
  const half = type === 'F16' ? halfPrecision(device) : undefined;
  const constants: Record<string, Constant> = { BLOCKS: columns / 32 };
  if (codeOffset !== undefined) constants.CODE_OFFSET = { f32: codeOffset };
  return {
    sources: [block, ...(half ? [half.source] : []), ...(type === 'Q6_K' ? [byteUnpacking(device)] : []), ...sources],
    enables: half?.enables ?? [],
    constants,
    bindings: Object.entries(planes).map(([name, { type }]): Binding => ({ name, type, access: 'read' })),
  };
}
