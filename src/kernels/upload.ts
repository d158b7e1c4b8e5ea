import randomWordsSource from '../../shaders/upload/random-words.wgsl?raw';
import repackSource from '../../shaders/upload/repack.wgsl?raw';
import { type Binding, type Constant, folded, type Kernel, reads, writes } from '../gpu/kernel.ts';
import { GGML_TYPES, type GgmlType } from '../weights/ggml-types.ts';
import { BFLOATS, EXPONENTS, type FloatBits, HALVES, SINGLE } from './formats/finite-weights.ts';
import { WEIGHT_FORMATS, type WeightBufferName } from './formats/weight-formats.ts';
import { part } from './shader-library.ts';

const WORKGROUP = 64;

const constantsOf = ({ exponent, one, sign }: FloatBits = HALVES) => ({ EXPONENTS: exponent, STEP: one, SIGNS: sign });

/** Shader parts that repack a unit, and their constants except the block size. */
interface Repacking {
  sources: readonly string[];
  constants: Readonly<Record<string, Constant>>;
}

const floats = (bits: FloatBits): Repacking => ({ sources: ['repack-unit/floats'], constants: constantsOf(bits) });
/** Constants of scales of `bytes` bytes for `span` blocks, at byte `at` of a block. */
const halves = (bytes: 2 | 4, span = 1, at = 0) => ({
  ...constantsOf(),
  SCALE_BYTES: bytes,
  SCALE_SPAN: span,
  SCALE_AT: at,
});
const nibbles = (scaleBytes: 2 | 4, high = 'repack-high/none'): Repacking => ({
  sources: ['packed-bits', 'repack-scales/halves', high, 'repack-recode/none', 'repack-unit/nibbles'],
  constants: halves(scaleBytes),
});
const superBlocks = (high: string): Repacking => ({
  sources: ['packed-bits', high, 'repack-unit/super'],
  constants: { ...constantsOf(), HIGH_AT: 16 },
});

const REPACKINGS: Record<GgmlType, Repacking> = {
  F32: floats(SINGLE),
  F16: floats(HALVES),
  BF16: floats(BFLOATS),
  Q1_0: { sources: ['repack-scales/halves', 'repack-unit/bits'], constants: halves(2, 4) },
  Q2_0: { sources: ['repack-scales/halves', 'repack-high/none', 'repack-unit/eights'], constants: halves(2, 2) },
  Q4_0: nibbles(2),
  Q4_1: nibbles(4),
  Q5_0: nibbles(2, 'repack-high/word'),
  Q5_1: nibbles(4, 'repack-high/word'),
  Q8_0: { sources: ['repack-scales/halves', 'repack-unit/bytes'], constants: halves(2) },
  Q2_K: {
    sources: ['packed-bits', 'five-words', 'repack-high/none', 'repack-scales/super2', 'repack-unit/pairs'],
    constants: { ...constantsOf(), CODES_AT: 16 },
  },
  Q3_K: {
    sources: ['packed-bits', 'widened', 'repack-high/transposed', 'repack-scales/super3', 'repack-unit/pairs'],
    constants: { ...constantsOf(), CODES_AT: 32, HIGH_AT: 0 },
  },
  Q4_K: superBlocks('repack-high/none'),
  Q5_K: superBlocks('repack-high/transposed'),
  Q6_K: { sources: ['packed-bits', 'five-words', 'widened', 'repack-unit/super6'], constants: constantsOf() },
  IQ3_XXS: { sources: ['repack-scales/halves', 'repack-high/signs', 'repack-unit/eights'], constants: halves(2, 8) },
  IQ4_NL: nibbles(2),
  IQ4_XS: {
    sources: ['packed-bits', 'repack-scales/super4', 'repack-high/none', 'repack-recode/none', 'repack-unit/nibbles'],
    constants: { ...constantsOf(), SCALE_SPAN: 8 },
  },
  TQ1_0: { sources: ['repack-scales/halves', 'repack-unit/ternary'], constants: halves(2, 8, 52) },
  TQ2_0: {
    sources: ['packed-bits', 'repack-high/none', 'repack-scales/halves', 'repack-unit/pairs'],
    constants: { ...halves(2, 8, 64), CODES_AT: 0 },
  },
  MXFP4: {
    sources: [
      'packed-bits',
      'repack-scales/exponents',
      'repack-high/none',
      'repack-recode/signed',
      'repack-unit/nibbles',
    ],
    constants: { ...constantsOf(EXPONENTS), SCALE_SPAN: 1 },
  },
};

/** Units of a row. An invocation writes one: 16 bytes of floats, or a block of 32 columns. */
export function unitsOfRow(type: GgmlType, columns: number): number {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  return blockSize === 1 ? (columns * blockBytes) / 16 : columns / 32;
}

/**
 * `raw`, rows of a tensor in its file's layout → the buffers of `type`, without a change of values. Block layouts: llama.cpp,
 * ggml/src/ggml-common.h. Params: `units` to write, from `firstUnit` on; the first row of `raw`, in the order written; units
 * of a row; `headDim` if the file interleaves the rows of heads, or 0; the tensor's number. `fault [1]` becomes the complement
 * of the lowest number of a tensor that is not finite.
 */
export function repackKernel(type: GgmlType): Kernel<{ units: number }> {
  const { sources, constants } = REPACKINGS[type];
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const buffers = Object.entries(WEIGHT_FORMATS[type].buffers);
  return {
    name: 'repack',
    sources: [part('raw-words'), ...sources.map(part), repackSource],
    constants: {
      WORKGROUP,
      WHOLE_WORDS: blockSize === 1 || blockBytes % 4 === 0,
      BLOCK_BYTES: blockBytes,
      ...constants,
    },
    bindings: [
      reads('raw', 'u32'),
      writes('fault', 'atomic<u32>'),
      ...buffers.map(([name, { type: elements }]): Binding => ({ name, type: elements, access: 'read_write' })),
    ],
    params: { units: 'u32', firstUnit: 'u32', firstRow: 'u32', rowUnits: 'u32', headDim: 'u32', tensor: 'u32' },
    groups: ({ units }) => folded(Math.ceil(units / WORKGROUP)),
  };
}

/** Random scales are two halves of 2^-8 to 2^-7, which are finite; random quants are any bits. */
const SCALES = { MASK: 0x03ff03ff, BITS: 0x1c001c00 };
const CODES = { MASK: 0xffffffff, BITS: 0 };

/** `y [words]`: a buffer of random weights of a type whose scales are halves. */
export const randomWordsKernel = (buffer: WeightBufferName): Kernel<{ words: number }> => ({
  name: 'random-words',
  sources: [randomWordsSource],
  constants: { WORKGROUP, ...(buffer === 'weight_scales' ? SCALES : CODES) },
  bindings: [writes('y', 'u32')],
  params: { words: 'u32' },
  groups: ({ words }) => folded(Math.ceil(words / WORKGROUP)),
});
