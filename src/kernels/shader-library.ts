import { shaderParts } from '../gpu/kernel.ts';
import activation from '../../shaders/parts/activation.wgsl?raw';
import attention from '../../shaders/parts/attention.wgsl?raw';
import codes from '../../shaders/parts/codes.wgsl?raw';
import decodeSums from '../../shaders/parts/decode-sums.wgsl?raw';
import entryMeasures from '../../shaders/parts/entry-measures.wgsl?raw';
import experts from '../../shaders/parts/experts.wgsl?raw';
import grid from '../../shaders/parts/grid.wgsl?raw';
import linears from '../../shaders/parts/linears.wgsl?raw';
import lora from '../../shaders/parts/lora.wgsl?raw';
import numbers from '../../shaders/parts/numbers.wgsl?raw';
import pageAttention from '../../shaders/parts/page-attention.wgsl?raw';
import pageLayout from '../../shaders/parts/page-layout.wgsl?raw';
import pageScores from '../../shaders/parts/page-scores.wgsl?raw';
import pageUnits from '../../shaders/parts/page-units.wgsl?raw';
import repack from '../../shaders/parts/repack.wgsl?raw';
import sampling from '../../shaders/parts/sampling.wgsl?raw';
import scales from '../../shaders/parts/scales.wgsl?raw';
import tileCodes from '../../shaders/parts/tile-codes.wgsl?raw';
import tileScales from '../../shaders/parts/tile-scales.wgsl?raw';
import tiles from '../../shaders/parts/tiles.wgsl?raw';

/** Text of the part `NAME` or the variant `KIND/CHOICE` in shaders/parts. */
export const part = shaderParts(
  ...[activation, attention, codes, decodeSums, entryMeasures, experts, grid, linears, lora, numbers, pageAttention],
  ...[pageLayout, pageScores, pageUnits, repack, sampling, scales, tileCodes, tileScales, tiles],
);
