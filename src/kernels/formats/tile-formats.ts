import type { Device } from '../../gpu/device.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import bits from '../../../shaders/parts/weights/bits.wgsl?raw';
import fifthBits from '../../../shaders/parts/weights/fifth-bits.wgsl?raw';
import fiveWordRuns from '../../../shaders/parts/weights/five-word-runs.wgsl?raw';
import grid from '../../../shaders/parts/weights/grid.wgsl?raw';
import grid4 from '../../../shaders/parts/weights/grid4.wgsl?raw';
import nibbles from '../../../shaders/parts/weights/nibbles.wgsl?raw';
import pairs from '../../../shaders/parts/weights/pairs.wgsl?raw';
import thirdBits from '../../../shaders/parts/weights/third-bits.wgsl?raw';
import codes1Runs from '../../../shaders/slots/codes/1bit-runs.wgsl?raw';
import codes2 from '../../../shaders/slots/codes/2bit.wgsl?raw';
import codes3Runs from '../../../shaders/slots/codes/3bit-runs.wgsl?raw';
import codes4 from '../../../shaders/slots/codes/4bit.wgsl?raw';
import codes5Runs from '../../../shaders/slots/codes/5bit-runs.wgsl?raw';
import codes6 from '../../../shaders/slots/codes/6bit.wgsl?raw';
import codes8 from '../../../shaders/slots/codes/8bit.wgsl?raw';
import codesGridRuns from '../../../shaders/slots/codes/grid-runs.wgsl?raw';
import codesCurve from '../../../shaders/slots/codes/curve.wgsl?raw';
import nextBits from '../../../shaders/slots/next-codes/bits.wgsl?raw';
import nextEach from '../../../shaders/slots/next-codes/each.wgsl?raw';
import nextFifthBits from '../../../shaders/slots/next-codes/fifth-bits.wgsl?raw';
import nextTwoBlocks from '../../../shaders/slots/next-codes/two-blocks.wgsl?raw';
import fourWords from '../../../shaders/slots/run-words/four.wgsl?raw';
import twoWords from '../../../shaders/slots/run-words/two.wgsl?raw';
import scalesAffineRuns from '../../../shaders/slots/scales/affine-runs.wgsl?raw';
import scalesSuperRuns from '../../../shaders/slots/scales/super-runs.wgsl?raw';
import scalesSuper2Runs from '../../../shaders/slots/scales/super2-runs.wgsl?raw';
import scalesSuper6Runs from '../../../shaders/slots/scales/super6-runs.wgsl?raw';
import scalesSuper3Runs from '../../../shaders/slots/scales/super3-runs.wgsl?raw';
import scalesSymmetric from '../../../shaders/slots/scales/symmetric.wgsl?raw';
import scalesSymmetricRuns from '../../../shaders/slots/scales/symmetric-runs.wgsl?raw';
import { codeParts, type PlaneName, readerOf, WEIGHT_FORMATS } from './weight-formats.ts';

/**
 * How the tiles of linears/linear-tiled.wgsl read a type, of whose rows four invocations have a part each at a time. What is
 * short is read for a run of blocks at once and kept, as a load fetches 32 bytes however few it needs.
 */
interface TileFormat {
  /** Blocks of a run, at most: a power of two. */
  run: number;
  /** How many of the four invocations have a run between them. */
  lanes: 2 | 4;
  /** Whether an invocation has blocks of a run that follow each other, not every `lanes`th. */
  inOrder?: true;
  /** How many vectors of columns the second of a step's two is behind the first; default 1. */
  vectorsApart?: 1 | 4;
  /** In place of the type's sources, and of the types that some of its planes are bound as. */
  sources?: readonly string[];
  types?: Partial<Record<PlaneName, string>>;
}

/** No more than a block at a time. */
const BLOCKS_APART: TileFormat = { run: 1, lanes: 4 };
const SUPER_BLOCK: TileFormat = { run: 8, lanes: 2 };

const vec4s = 'array<vec4u>';
const vec2s = 'array<vec2u>';
/** As many halves as four words have, or two. */
const halves = (run: number, words: 2 | 4, ...codes: readonly string[]): TileFormat => ({
  ...{ run, lanes: 2, sources: [...codes, words === 4 ? fourWords : twoWords, scalesSymmetricRuns] },
  types: { weight_scales: words === 4 ? vec4s : vec2s },
});
/** Five words of scales; an invocation keeps those of its two blocks. */
const fiveWords = (...sources: readonly string[]): TileFormat => ({
  run: 8,
  lanes: 4,
  sources: [...sources, nextEach, fiveWordRuns],
  types: { weight_scales: vec4s },
});
/** 16 bytes of codes and 8 of upper bits. */
const twoBlocks = (...sources: readonly string[]): TileFormat => ({
  ...{
    run: 8,
    lanes: 4,
    inOrder: true,
    sources: [...sources, nextTwoBlocks],
    types: { weight: vec4s, weight_high: vec2s },
  },
});
const FIVE_BITS = [nibbles, fifthBits, codes5Runs, nextFifthBits];

const TILE_FORMATS: Partial<Record<GgmlType, TileFormat>> = {
  F32: { ...BLOCKS_APART, vectorsApart: 4 },
  Q1_0: {
    run: 16,
    lanes: 4,
    inOrder: true,
    sources: [bits, codes1Runs, nextBits, twoWords, scalesSymmetricRuns],
    types: { weight: vec4s, weight_scales: vec2s },
  },
  Q2_0: { ...halves(16, 4, pairs, codes2, nextEach), lanes: 4 },
  Q4_0: halves(8, 4, nibbles, codes4, nextEach),
  Q4_1: { run: 4, lanes: 2, sources: [nibbles, codes4, nextEach, scalesAffineRuns], types: { weight_scales: vec4s } },
  Q5_0: { ...halves(4, 2, ...FIVE_BITS), types: { weight_high: vec4s, weight_scales: vec2s } },
  Q5_1: {
    run: 4,
    lanes: 2,
    sources: [...FIVE_BITS, scalesAffineRuns],
    types: { weight_high: vec4s, weight_scales: vec4s },
  },
  Q8_0: halves(4, 2, codes8, nextEach),
  Q2_K: fiveWords(pairs, codes2, scalesSuper2Runs),
  Q3_K: twoBlocks(pairs, thirdBits, codes3Runs, scalesSuper3Runs),
  Q4_K: SUPER_BLOCK,
  Q5_K: { run: 4, lanes: 2, sources: [...FIVE_BITS, scalesSuperRuns], types: { weight_high: vec4s } },
  Q6_K: fiveWords(nibbles, codes6, scalesSuper6Runs),
  IQ3_XXS: twoBlocks(grid, grid4, codesGridRuns, scalesSymmetric),
  IQ4_NL: halves(8, 4, codesCurve, nextEach),
  IQ4_XS: SUPER_BLOCK,
  TQ1_0: { run: 16, lanes: 4 },
  TQ2_0: { run: 16, lanes: 4 },
  MXFP4: { run: 4, lanes: 2 },
};

const UNROLLED_COLUMNS = 256;

/** What a kernel of tiles that reads weights of `type` with `columns` columns is made of, beside its own text. */
export function tileReader(device: Device, type: GgmlType, columns: number) {
  const format = WEIGHT_FORMATS[type];
  const {
    run,
    lanes,
    inOrder = false,
    vectorsApart = 1,
    sources = [...format.sources, nextEach],
    types = {},
  } = TILE_FORMATS[type] ?? BLOCKS_APART;
  const planes = Object.fromEntries(
    Object.entries(format.planes).map(([name, plane]) => [
      name,
      { ...plane, type: types[name as PlaneName] ?? plane.type },
    ]),
  );
  const reader = readerOf(device, type, columns, { ...format, sources, planes });
  const parts = Math.min(4, codeParts(type));
  // A run does not go on in the next row. Rounds of so short rows are unrolled, and leave no registers to keep a run in.
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
