import { folded } from '../../gpu/grid.ts';
import type { Binding, Constant, Kernel } from '../../gpu/kernel.ts';
import { GGML_TYPES, type GgmlType } from '../../weights/ggml-types.ts';
import fiveWords from '../../../shaders/parts/weights/five-words.wgsl?raw';
import packedBits from '../../../shaders/parts/packed-bits.wgsl?raw';
import rawWords from '../../../shaders/parts/raw-words.wgsl?raw';
import widened from '../../../shaders/parts/widened.wgsl?raw';
import source from '../../../shaders/repack.wgsl?raw';
import highNone from '../../../shaders/slots/repack-high/none.wgsl?raw';
import highSigns from '../../../shaders/slots/repack-high/signs.wgsl?raw';
import highTransposed from '../../../shaders/slots/repack-high/transposed.wgsl?raw';
import highWord from '../../../shaders/slots/repack-high/word.wgsl?raw';
import recodeNone from '../../../shaders/slots/repack-recode/none.wgsl?raw';
import recodeSigned from '../../../shaders/slots/repack-recode/signed.wgsl?raw';
import scaleExponents from '../../../shaders/slots/repack-scales/exponents.wgsl?raw';
import scaleHalves from '../../../shaders/slots/repack-scales/halves.wgsl?raw';
import scaleSuper2 from '../../../shaders/slots/repack-scales/super2.wgsl?raw';
import scaleSuper3 from '../../../shaders/slots/repack-scales/super3.wgsl?raw';
import scaleSuper4 from '../../../shaders/slots/repack-scales/super4.wgsl?raw';
import unitBits from '../../../shaders/slots/repack-unit/bits.wgsl?raw';
import unitBytes from '../../../shaders/slots/repack-unit/bytes.wgsl?raw';
import unitFloats from '../../../shaders/slots/repack-unit/floats.wgsl?raw';
import unitEights from '../../../shaders/slots/repack-unit/eights.wgsl?raw';
import unitNibbles from '../../../shaders/slots/repack-unit/nibbles.wgsl?raw';
import unitPairs from '../../../shaders/slots/repack-unit/pairs.wgsl?raw';
import unitSuper from '../../../shaders/slots/repack-unit/super.wgsl?raw';
import unitSuper6 from '../../../shaders/slots/repack-unit/super6.wgsl?raw';
import unitTernary from '../../../shaders/slots/repack-unit/ternary.wgsl?raw';
import { BFLOATS, EXPONENTS, type FloatBits, HALVES, SINGLE } from './finite-planes.ts';
import { WEIGHT_FORMATS } from './weight-formats.ts';

const WORKGROUP = 64;

const constantsOf = ({ exponent, one, sign }: FloatBits = HALVES) => ({ EXPONENTS: exponent, STEP: one, SIGNS: sign });

/** Texts that repack a unit, and what they need to know beside the size of a block. */
interface Repacking {
  sources: readonly string[];
  constants: Readonly<Record<string, Constant>>;
}

const floats = (bits: FloatBits): Repacking => ({ sources: [unitFloats], constants: constantsOf(bits) });
/** Scales of `bytes` bytes for `span` blocks, `at` bytes into them. */
const halves = (bytes: 2 | 4, span = 1, at = 0) => ({
  ...constantsOf(),
  SCALE_BYTES: bytes,
  SCALE_SPAN: span,
  SCALE_AT: at,
});
const nibbles = (scaleBytes: 2 | 4, high = highNone): Repacking => ({
  sources: [packedBits, scaleHalves, high, recodeNone, unitNibbles],
  constants: halves(scaleBytes),
});
const superBlocks = (high: string): Repacking => ({
  sources: [packedBits, high, unitSuper],
  constants: { ...constantsOf(), HIGH_AT: 16 },
});

const REPACKINGS: Record<GgmlType, Repacking> = {
  F32: floats(SINGLE),
  F16: floats(HALVES),
  BF16: floats(BFLOATS),
  Q1_0: { sources: [scaleHalves, unitBits], constants: halves(2, 4) },
  Q2_0: { sources: [scaleHalves, highNone, unitEights], constants: halves(2, 2) },
  Q4_0: nibbles(2),
  Q4_1: nibbles(4),
  Q5_0: nibbles(2, highWord),
  Q5_1: nibbles(4, highWord),
  Q8_0: { sources: [scaleHalves, unitBytes], constants: halves(2) },
  Q2_K: {
    sources: [packedBits, fiveWords, highNone, scaleSuper2, unitPairs],
    constants: { ...constantsOf(), CODES_AT: 16 },
  },
  Q3_K: {
    sources: [packedBits, widened, highTransposed, scaleSuper3, unitPairs],
    constants: { ...constantsOf(), CODES_AT: 32, HIGH_AT: 0 },
  },
  Q4_K: superBlocks(highNone),
  Q5_K: superBlocks(highTransposed),
  Q6_K: { sources: [packedBits, fiveWords, widened, unitSuper6], constants: constantsOf() },
  IQ3_XXS: { sources: [scaleHalves, highSigns, unitEights], constants: halves(2, 8) },
  IQ4_NL: nibbles(2),
  IQ4_XS: {
    sources: [packedBits, scaleSuper4, highNone, recodeNone, unitNibbles],
    constants: { ...constantsOf(), SCALE_SPAN: 8 },
  },
  TQ1_0: { sources: [scaleHalves, unitTernary], constants: halves(2, 8, 52) },
  TQ2_0: { sources: [packedBits, highNone, scaleHalves, unitPairs], constants: { ...halves(2, 8, 64), CODES_AT: 0 } },
  MXFP4: {
    sources: [packedBits, scaleExponents, highNone, recodeSigned, unitNibbles],
    constants: { ...constantsOf(EXPONENTS), SCALE_SPAN: 1 },
  },
};

/** What an invocation writes: 16 bytes of floats, or a block of 32 columns. */
export function unitsOfRow(type: GgmlType, columns: number): number {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  return blockSize === 1 ? (columns * blockBytes) / 16 : columns / 32;
}

/**
 * `raw`, rows of a tensor as they lie in its file, from its first byte on → the planes of `type`; values are unchanged. Block
 * layouts: llama.cpp, ggml/src/ggml-common.h. Params: `units` to write, from `firstUnit` of the planes on; the row of
 * `raw` they begin with, in the order written, and units of a row; `headDim` whose rows are interleaved there, or 0; the
 * number of the tensor, whose complement `fault [1]` becomes where none before it holds what is not finite.
 */
export function repackKernel(type: GgmlType): Kernel<{ units: number }> {
  const { sources, constants } = REPACKINGS[type];
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const planes = Object.entries(WEIGHT_FORMATS[type].planes);
  return {
    name: 'repack',
    sources: [rawWords, ...sources, source],
    constants: {
      WORKGROUP,
      WHOLE_WORDS: blockSize === 1 || blockBytes % 4 === 0,
      BLOCK_BYTES: blockBytes,
      ...constants,
    },
    bindings: [
      { name: 'raw', type: 'array<u32>', access: 'read' },
      { name: 'fault', type: 'array<atomic<u32>>', access: 'read_write' },
      ...planes.map(([name, { type: elements }]): Binding => ({ name, type: elements, access: 'read_write' })),
    ],
    params: { units: 'u32', firstUnit: 'u32', firstRow: 'u32', rowUnits: 'u32', headDim: 'u32', tensor: 'u32' },
    groups: ({ units }) => folded(Math.ceil(units / WORKGROUP)),
  };
}
