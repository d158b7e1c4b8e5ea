import decodeSource from '../../shaders/attention/attention-decode.wgsl?raw';
import prefillSource from '../../shaders/attention/attention-prefill.wgsl?raw';
import source from '../../shaders/attention/attention.wgsl?raw';
import mergeAloneSource from '../../shaders/attention/attention-merge-alone.wgsl?raw';
import mergeSharedSource from '../../shaders/attention/attention-merge-shared.wgsl?raw';
import mergeSource from '../../shaders/attention/attention-merge.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import {
  type Binding,
  type Kernel,
  type KernelText,
  type Params,
  type ParamsLayout,
  reads,
  writes,
} from '../gpu/kernel.ts';
import { formConstants } from './formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS, rotatedTogether } from './heads.ts';
import { halfPrecision, scoreScaling, windowOf } from './kernel-variants.ts';
import { decodeWorkgroup, headChunks, pageSharing, pageTeams, PROBED, wholePages } from './pages.ts';
import { part } from './shader-library.ts';

/** Most splits of the pages that a batch's tokens attend to; a batch with more tokens has one split a token. */
export const MAX_SPLITS = 64;

/** Tokens of a batch, and tokens of its longest sequence after the batch. */
export interface BatchLength {
  tokens: number;
  length: number;
}

/** Workgroups that share the pages of each token, and the kernel's params that say which each has. */
export interface Splits extends Params {
  splits: number;
}

export interface AttentionKernel extends Kernel<{ tokens: number; splits: number }> {
  /** How this kernel splits the pages of a batch. */
  split(batch: BatchLength): Splits;
  /** Whether attention-merge must run even if there is one split. */
  alwaysMerged: boolean;
  /** Whether a dispatch computes tokens of one sequence only: `tokens` consecutive ones from `firstToken` on. */
  ofOneSequence: boolean;
}

/** Pages that a kernel reads. */
export interface PageSight {
  /** Every page is f16. Drivers take a second or more to compile the code for the other forms. */
  allF16: boolean;
  /** Tokens that each token attends to, itself included; default: all. */
  window?: number | undefined;
}

export interface DecodeForm extends PageSight {
  /** The kernel stores keys and values first: store-kv has not run, and no two tokens share a sequence; see `storesTokens`. */
  stores: boolean;
}

/**
 * Attention of single tokens of different sequences (decode), and of consecutive tokens of one sequence (prefill). Devices
 * whose workgroups share pages have a kernel for each; others have one kernel for both, which stores nothing.
 */
export function attentionKernels(
  device: Device,
  heads: Heads,
  form: DecodeForm,
): Record<'decode' | 'prefill', AttentionKernel> {
  const { allF16, window } = form;
  const seen = (batch: BatchLength, together?: number): BatchLength => ({
    ...batch,
    length: lengthInSight(batch, window, together),
  });
  if (!device.variant.sharedPages) {
    const each = {
      ...attentionKernel(device, heads, form),
      split: (batch: BatchLength) => splitPages(seen(batch)),
      alwaysMerged: true,
      ofOneSequence: false,
    };
    return { decode: each, prefill: each };
  }
  const together = tileTokens(device, heads, allF16);
  return {
    decode: {
      ...attentionDecodeKernel(device, heads, form),
      split: (batch) => splitForTeams(device, heads, seen(batch)),
      alwaysMerged: false,
      ofOneSequence: false,
    },
    prefill: {
      ...attentionPrefillKernel(device, heads, form),
      split: (batch) => splitPages(seen(batch, together)),
      alwaysMerged: true,
      ofOneSequence: true,
    },
  };
}

/** Length of whole pages that `together` consecutive tokens of a batch see; pages before the window are skipped. */
function lengthInSight({ length }: BatchLength, window: number | undefined, together = 1): number {
  if (window === undefined) return length;
  const pages = Math.floor((window + together + PAGE_TOKENS - 3) / PAGE_TOKENS) + 1;
  return Math.min(length, pages * PAGE_TOKENS);
}

/** Splits pages so that every workgroup has work: the fewer tokens, the more splits. attention-merge merges the splits. */
function splitPages({ tokens, length }: BatchLength): Splits {
  const pages = Math.ceil(length / PAGE_TOKENS);
  const pagesPerSplit = Math.ceil(pages / Math.max(1, Math.floor(MAX_SPLITS / tokens)));
  return { splits: Math.ceil(pages / pagesPerSplit), pagesPerSplit };
}

/** Workgroups that should attend at least, so that most of a device's processors have one. */
const LEAST_WORKGROUPS = 32;
/** Most steps of a page a team that one workgroup runs alone if there are enough others: merging splits would cost more. */
const STEPS_ALONE = 4;
/** Most parts of a page; a part has at least four keys. */
const MOST_PARTS = 8;

/**
 * Splits pages for `attention-decode`, whose teams read one page each a step, or with few pages a half, a quarter or an eighth
 * of one. Sequences of one step have one split.
 */
function splitForTeams(device: Device, heads: Heads, { tokens, length }: BatchLength): Splits {
  const teams = pageTeams(heads, decodeWorkgroup(device, heads));
  const pages = Math.ceil(length / PAGE_TOKENS);
  const workgroups = tokens * heads.numKvHeads * headChunks(heads);
  const stepsAlone = workgroups < LEAST_WORKGROUPS ? 1 : STEPS_ALONE;
  const mostSplits = pages <= stepsAlone * teams ? 1 : Math.max(1, Math.floor(MAX_SPLITS / tokens));
  const stepsOf = (parts: number): number => Math.ceil((pages * parts) / teams);
  const wanted = Math.min(mostSplits, Math.ceil(LEAST_WORKGROUPS / workgroups));
  let pageParts = 1;
  while (pageParts < MOST_PARTS && stepsOf(pageParts) < wanted) pageParts *= 2;
  const steps = stepsOf(pageParts);
  const each = Math.ceil(steps / mostSplits);
  return { splits: Math.ceil(steps / each), partsPerSplit: each * teams, pageParts };
}

/** Floats of one (token, split, head) in `partial_outputs`. */
export const partialFloats = (headDim: number): number => headDim + 4;

/** Bindings and params of kernels that write `partial_outputs`; `kv` is their access to the pages, `split` their params of a split. */
const attending = (
  kv: Binding['access'],
  split: ParamsLayout = { pagesPerSplit: 'u32' },
): Pick<KernelText, 'bindings' | 'params'> => ({
  bindings: [
    reads('qkv', 'vec4f'),
    reads('batch_table', 'vec4u'),
    reads('pages', 'vec4u'),
    reads('rope', 'vec4f'),
    { name: 'kv', type: 'array<vec2u>', access: kv },
    writes('partial_outputs', 'vec4f'),
  ],
  params: { tokens: 'u32', splits: 'u32', ...split },
});

/** Bindings of kernels that write finished outputs: `y [T, numHeads headDim]`, and `probes` of the last tokens. */
const FINISHED: readonly Binding[] = [writes('y', 'vec4f'), writes('probes', 'vec4f')];

/** Most output components that one invocation holds when it attends with several heads. */
const MOST_DIMENSIONS = 256;

/** Heads that one invocation attends with; they share keys and values. */
function headGroup(device: Device, { numHeads, numKvHeads, headDim }: Heads): number {
  const shared = numHeads / numKvHeads;
  let group = Math.max(1, Math.min(device.variant.attentionHeads, shared, Math.floor(MOST_DIMENSIONS / headDim)));
  while (shared % group !== 0) group--;
  return group;
}

/** Queries of `qkv` over the pages → `partial_outputs [T, splits, numHeads, headDim + 4]`. A token's splits begin at its first visible page. */
function attentionKernel(
  device: Device,
  heads: Heads,
  { allF16, window }: PageSight,
): Kernel<{ tokens: number; splits: number }> {
  const { sources, enables, sight, scale } = wholePages(device, heads, window);
  const { attentionWorkgroup } = device.variant;
  const group = headGroup(device, heads);
  return {
    name: 'attention',
    sources: [...sources, source],
    enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      ...sight,
      GROUP: group,
      ALL_F16: allF16,
      WORKGROUP: attentionWorkgroup,
      ...scale,
    },
    ...attending('read'),
    groups: ({ tokens, splits }) => [Math.ceil((tokens * splits * heads.numHeads) / group / attentionWorkgroup)],
  };
}

/** Whether attentionDecodeKernel can store keys and values: one workgroup has all heads that share them, and none is normed. */
export const storesTokens = (device: Device, heads: Heads): boolean =>
  device.variant.sharedPages && !heads.qkNorm && headChunks(heads) === 1;

/**
 * Queries of `qkv`, one token of any sequence each. With one split → `y` and `probes`, as attention-merge writes them; with
 * more → `partial_outputs`, as attentionKernel writes them.
 */
function attentionDecodeKernel(
  device: Device,
  heads: Heads,
  { allF16, stores, window }: DecodeForm,
): Kernel<{ tokens: number; splits: number }> {
  const workgroup = decodeWorkgroup(device, heads);
  const { sources, enables, constants } = pageSharing(device, heads, { workgroup, teams: pageTeams(heads, workgroup) });
  const sight = windowOf(window);
  const { bindings, params } = attending(stores ? 'read_write' : 'read', { partsPerSplit: 'u32', pageParts: 'u32' });
  return {
    name: 'attention-decode',
    sources: [
      ...sources,
      sight.source,
      ...(stores ? [part('stored-half'), part('store-token/own')] : [part('store-token/none')]),
      part('keep-probe'),
      part('rotation'),
      part('rotated-value'),
      decodeSource,
    ],
    enables,
    constants: { ...constants, ...sight.constants, QUERY_STRIDE: heads.headDim / 4, ALL_F16: allF16, ...PROBED },
    bindings: [...bindings, ...FINISHED],
    params: { ...params, slotPages: 'u32' },
    groups: ({ tokens, splits }) => [heads.numKvHeads * headChunks(heads), splits, tokens],
  };
}

const MOST_ROW_GROUPS = 64;
/** Most rows of a workgroup's tile; a row is a (query, head) whose head shares keys and values with the others. */
export const MOST_TILE_ROWS = 4 * MOST_ROW_GROUPS;
/** Most vec4f of workgroup memory for queries: 8 KB. */
const MOST_VECTORS = 512;
/** Most vec4f of workgroup memory for a part of a page, and most pairs of vectors of a key in it: 16 KB in all, which every device has. */
const SMALL = { invocations: 256, pageVectors: 448, pairs: 12 };
/** The same for larger workgroups. */
const LARGE = { pageVectors: 1024, pairs: 16, bytes: 28_672 };

/**
 * Queries of `qkv`, consecutive tokens of one sequence from the batch's token `firstToken` on → `partial_outputs`, as
 * attentionKernel writes them. The tokens' positions ascend, and their pages begin at the same entry of the page table.
 */
function attentionPrefillKernel(
  device: Device,
  heads: Heads,
  { allF16, window }: PageSight,
): Kernel<{ tokens: number; splits: number }> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { numHeads, numKvHeads } = heads;
  const tile = tileOf(device, heads.headDim, allF16);
  const shared = numHeads / numKvHeads;
  const sight = windowOf(window);
  const { bindings, params } = attending('read');
  return {
    name: 'attention-prefill',
    sources: [half.source, scale.source, sight.source, part('page-layout'), part('page-units'), prefillSource],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      ...sight.constants,
      ...tile,
      FOUR: 4,
      ALL_F16: allF16,
      ...scale.constants,
    },
    bindings,
    params: { ...params, firstToken: 'u32' },
    groups: ({ tokens, splits }) => [Math.ceil((tokens * shared) / 4 / tile.ROW_GROUPS), splits, numKvHeads],
  };
}

/** Most tokens whose queries one prefill workgroup has. */
const tileTokens = (device: Device, { numHeads, numKvHeads, headDim }: Heads, allF16: boolean): number =>
  Math.ceil((4 * tileOf(device, headDim, allF16).ROW_GROUPS * numKvHeads) / numHeads) + 1;

/** How a prefill workgroup shares queries, keys and values; see attention-prefill.wgsl. */
function tileOf({ limits, variant }: Device, headDim: number, allF16: boolean) {
  const VECTORS = Math.min(variant.attentionVectors, headDim / 16); // at least four invocations a query
  const LANES = headDim / 4 / VECTORS;
  const invocations = isAllowed(limits, variant.attentionTile) ? variant.attentionTile : SMALL.invocations;
  const { pageVectors, pairs } = invocations > SMALL.invocations ? LARGE : SMALL;
  const ROW_GROUPS = Math.min(MOST_ROW_GROUPS, Math.floor(invocations / LANES));
  const rows = 4 * ROW_GROUPS;
  const KEY_PAIRS = largestDivisor(headDim / 8, pairs);
  const KEY_LANES = powerOfTwo(Math.min(PAGE_TOKENS, LANES));
  // Quantized long keys take too many registers if an invocation unpacks several of their vectors.
  const mostOwn = allF16 || headDim < 128 ? VECTORS : 1;
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

/** The largest divisor of `of` that is at most `most`. */
function largestDivisor(of: number, most: number): number {
  let divisor = Math.min(of, Math.floor(most));
  while (of % divisor !== 0) divisor--;
  return divisor;
}

/** The largest power of two that is at most `most`. */
const powerOfTwo = (most: number): number => 2 ** Math.floor(Math.log2(most));

type MergeKernel = Kernel<{ tokens: number }>;

const MERGED: Pick<KernelText, 'bindings' | 'params'> = {
  bindings: [reads('partial_outputs', 'vec4f'), reads('batch_table', 'vec4u'), reads('qkv', 'vec4f'), ...FINISHED],
  params: { tokens: 'u32', splits: 'u32', slotPages: 'u32' },
};

/**
 * `partial_outputs [T, splits, numHeads, headDim + 4]` → `y [T, numHeads headDim]`, and `probes` of the last tokens (see
 * probePageKernel). `slotPages`: page-table entries of a sequence slot. A decode batch has few tokens with many splits:
 * devices whose workgroups share pages share the splits too. A prefill batch usually has one split: on software adapters its
 * tokens run without barriers, which cost more than they save.
 */
export function attentionMergeKernels(device: Device, heads: Heads): Record<'decode' | 'prefill', MergeKernel> {
  const { lanes, sharedPages, workgroup } = device.variant;
  const together = {
    name: 'attention-merge',
    sources: [part('keep-probe'), part('rotation'), part('rotated-value'), part('split-outputs'), mergeSource],
  };
  const alone = {
    name: 'attention-merge-alone',
    sources: [part('keep-probe'), part('rotation'), part('split-outputs'), mergeAloneSource],
  };
  return {
    prefill:
      lanes === 1
        ? mergeByItems(heads, rotatedTogether(heads.headDim), workgroup, alone)
        : mergeByItems(heads, 4, workgroup, together),
    // One workgroup a head, so that few invocations wait at a barrier.
    decode: sharedPages ? mergeShared(device, heads) : mergeByItems(heads, 4, heads.headDim / 4, together),
  };
}

/** A kernel whose invocations each merge `components` components of a head. */
function mergeByItems(
  heads: Heads,
  components: number,
  workgroup: number,
  text: Pick<KernelText, 'name' | 'sources'>,
): MergeKernel {
  const items = (heads.numHeads * heads.headDim) / components;
  return {
    ...text,
    constants: { ...headConstants(heads), ...PROBED, WORKGROUP: workgroup },
    ...MERGED,
    groups: ({ tokens }) => [Math.ceil((tokens * items) / workgroup)],
  };
}

function mergeShared(device: Device, heads: Heads): MergeKernel {
  const workgroup = decodeWorkgroup(device, heads);
  const SUBSETS = Math.floor((workgroup * 4) / heads.headDim);
  return {
    name: 'attention-merge-shared',
    sources: [part('keep-probe'), part('rotation'), part('rotated-value'), mergeSharedSource],
    constants: { ...headConstants(heads), ...PROBED, WORKGROUP: workgroup, SUBSETS, MAX_SPLITS },
    ...MERGED,
    groups: ({ tokens }) => [heads.numHeads, tokens],
  };
}
