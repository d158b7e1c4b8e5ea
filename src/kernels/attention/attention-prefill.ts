import source from '../../../shaders/attention/attention-prefill.wgsl?raw';
import pageLayout from '../../../shaders/parts/pages/page-layout.wgsl?raw';
import pageUnits from '../../../shaders/parts/pages/page-units.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attending, type PageSight } from '../attention.ts';
import { formConstants } from '../formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS } from '../heads.ts';
import { halfPrecision, scoreScaling, windowOf } from '../slot-choices.ts';

const MOST_ROW_GROUPS = 64;
/** Queries of a workgroup at most, times their heads that share keys and values. */
export const MOST_TILE_ROWS = 4 * MOST_ROW_GROUPS;
/** Vectors of four floats that the queries' part of the workgroup memory has, at most: 8 KB. */
const MOST_VECTORS = 512;
/** The same of the page's part, and pairs of a key's vectors that are taken apart at once: of a workgroup that every device allows, 16 KB in all. */
const SMALL = { invocations: 256, pageVectors: 448, pairs: 12 };
/** Of a larger one. */
const LARGE = { pageVectors: 1024, pairs: 16, bytes: 28_672 };

/**
 * Queries of `qkv`, consecutive tokens of one sequence → `partial_outputs`, as attentionKernel leaves it. The tokens'
 * positions ascend, and their pages begin at the same place of the page table.
 */
export function attentionPrefillKernel(
  device: Device,
  heads: Heads,
  { halfOnly, window }: PageSight,
): Kernel<{ tokens: number; splits: number }> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { numHeads, numKvHeads } = heads;
  const tile = tileOf(device, heads.headDim, halfOnly);
  const shared = numHeads / numKvHeads;
  const sight = windowOf(window);
  return {
    name: 'attention-prefill',
    sources: [half.source, scale.source, sight.source, pageLayout, pageUnits, source],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      ...sight.constants,
      ...tile,
      FOUR: 4,
      HALF_ONLY: halfOnly,
      ...scale.constants,
    },
    ...attending('read'),
    groups: ({ tokens, splits }) => [Math.ceil((tokens * shared) / 4 / tile.ROW_GROUPS), splits, numKvHeads],
  };
}

/** Tokens that a workgroup has queries of, at most. */
export const tileTokens = (device: Device, { numHeads, numKvHeads, headDim }: Heads, halfOnly: boolean): number =>
  Math.ceil((4 * tileOf(device, headDim, halfOnly).ROW_GROUPS * numKvHeads) / numHeads) + 1;

/** How a workgroup shares queries, keys and values out; see attention-prefill.wgsl. */
function tileOf({ limits, variant }: Device, headDim: number, halfOnly: boolean) {
  const VECTORS = Math.min(variant.attentionVectors, headDim / 16); // four invocations a query, at least
  const LANES = headDim / 4 / VECTORS;
  const invocations = isAllowed(limits, variant.attentionTile) ? variant.attentionTile : SMALL.invocations;
  const { pageVectors, pairs } = invocations > SMALL.invocations ? LARGE : SMALL;
  const ROW_GROUPS = Math.min(MOST_ROW_GROUPS, Math.floor(invocations / LANES));
  const rows = 4 * ROW_GROUPS;
  const KEY_PAIRS = largestDivisor(headDim / 8, pairs);
  const KEY_LANES = powerOfTwo(Math.min(PAGE_TOKENS, LANES));
  // Codes take registers where an invocation takes several vectors of long keys apart.
  const mostOwn = halfOnly || headDim < 128 ? VECTORS : 1;
  const KEYS = powerOfTwo(Math.min(PAGE_TOKENS, mostOwn * KEY_LANES, pageVectors / (2 * KEY_PAIRS)));
  const QUERY_PAIRS = largestDivisor(KEY_PAIRS, MOST_VECTORS / (2 * rows));
  const VALUE_KEYS = powerOfTwo(Math.min(KEYS, (4 * pageVectors) / headDim, MOST_VECTORS / ROW_GROUPS));
  return {
    ...{
      VECTORS,
      LANES,
      ROW_GROUPS,
      KEYS,
      KEY_PAIRS,
      KEY_LANES: Math.min(KEY_LANES, KEYS),
      OWN_KEYS: Math.max(1, KEYS / KEY_LANES),
      QUERY_PAIRS,
      VALUE_KEYS,
    },
    SWIZZLE: Math.min(KEY_LANES, KEY_PAIRS % 4 === 0 ? 8 : KEY_PAIRS % 2 === 0 ? 4 : 2) - 1,
    PAGE_PART: Math.max(2 * KEYS * KEY_PAIRS, (VALUE_KEYS * headDim) / 4),
    ROW_PART: Math.max(2 * QUERY_PAIRS * rows, KEY_LANES * ROW_GROUPS, VALUE_KEYS * ROW_GROUPS),
  };
}

const isAllowed = (limits: GPUSupportedLimits, invocations: number): boolean =>
  Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX) >= invocations &&
  limits.maxComputeWorkgroupStorageSize >= LARGE.bytes;

/** The largest divisor that is no larger than `most`. */
function largestDivisor(of: number, most: number): number {
  let divisor = Math.min(of, Math.floor(most));
  while (of % divisor !== 0) divisor--;
  return divisor;
}

/** The largest power of two that is no larger than `most`. */
const powerOfTwo = (most: number): number => 2 ** Math.floor(Math.log2(most));
