import entrySource from '../../shaders/pages/entry-attention.wgsl?raw';
import gatherSource from '../../shaders/pages/gather-entries.wgsl?raw';
import probeSharedSource from '../../shaders/pages/probe-page-shared.wgsl?raw';
import probeSource from '../../shaders/pages/probe-page.wgsl?raw';
import quantizeSource from '../../shaders/pages/quantize-page.wgsl?raw';
import storeSharedSource from '../../shaders/pages/store-kv-shared.wgsl?raw';
import storeSource from '../../shaders/pages/store-kv.wgsl?raw';
import { MAX_SEQUENCES } from '../config/limits.ts';
import type { Device } from '../gpu/device.ts';
import { type Kernel, type KernelText, reads, writes } from '../gpu/kernel.ts';
import { formConstants } from './formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS } from './heads.ts';
import { halfPrecision, scoreScaling, windowOf } from './kernel-variants.ts';
import { part } from './shader-library.ts';

/** A token, a head or a page has little work: small workgroups. */
const WORKGROUP = 8;
/** Invocations that share heads: few enough to run together everywhere. */
const SHARED_WORKGROUP = 64;

/**
 * Keys and values of `qkv [T, (numHeads + 2 numKvHeads) headDim]` → their pages in `kv`, values rotated. With qkNorm it also
 * norms queries in place. With `stores` false the layer has no keys of its own, and the kernel only norms queries.
 */
export function storeKvKernel(device: Device, heads: Heads, stores = true): Kernel<{ tokens: number }> {
  const half = halfPrecision(device);
  const norms = heads.qkNorm ? ['query_norm_weight', 'key_norm_weight'] : [];
  const { qkNorm, valueNorm = false, numHeads, numKvHeads, headDim, rmsNormEps } = heads;
  const choices = {
    ...{ QK_NORM: qkNorm, VALUE_NORM: valueNorm, NORM_EPS: { f32: rmsNormEps } },
    STORED_KV: stores ? numKvHeads : 0,
  };
  const qkNormPart = part(qkNorm ? 'qk-norm/heads' : 'qk-norm/none');
  const sources = [half.source, part('stored-half'), part('rotation'), part('rotated-value'), qkNormPart];
  const text: Pick<KernelText, 'enables' | 'bindings' | 'params'> = {
    enables: half.enables,
    bindings: [
      reads('batch_table', 'vec4u'),
      reads('pages', 'vec4u'),
      reads('rope', 'vec4f'),
      ...norms.map((name) => reads(name, 'vec4f')),
      writes('qkv', 'vec4f'),
      writes('kv', 'vec2u'),
    ],
    params: {},
  };
  if (device.variant.sharedPages) {
    const abreast = Math.floor((SHARED_WORKGROUP * 8) / headDim);
    const stored = (stores ? numKvHeads : 0) + (qkNorm ? numHeads : 0);
    return {
      ...text,
      name: 'store-kv-shared',
      sources: [...sources, storeSharedSource],
      constants: {
        ...headConstants(heads),
        ...choices,
        WORKGROUP: SHARED_WORKGROUP,
        HEADS_ABREAST: abreast,
        STORED_HEADS: stored,
      },
      groups: ({ tokens }) => [Math.ceil(stored / abreast), tokens],
    };
  }
  const invocations = (stores ? (numKvHeads * headDim) / 8 : 0) + (qkNorm ? numHeads : 0);
  return {
    ...text,
    name: 'store-kv',
    sources: [...sources, storeSource],
    constants: { ...headConstants(heads), WORKGROUP, ...choices },
    groups: ({ tokens }) => [Math.ceil(invocations / WORKGROUP), tokens],
  };
}

/** Pages of `kv` → quantized copies elsewhere in it. `tasks [N, 2, 4]`: page-table entries of a page and of its copy. */
export function quantizePageKernel(device: Device, heads: Heads): Kernel<{ pages: number }> {
  const half = halfPrecision(device);
  return {
    name: 'quantize-page',
    sources: [half.source, part('page-layout'), part('page-units'), quantizeSource],
    enables: half.enables,
    constants: { ...headConstants(heads), ...formConstants, WORKGROUP, ALL_F16: false },
    bindings: [reads('tasks', 'vec4u'), writes('kv', 'vec2u')],
    params: { first: 'u32' },
    groups: ({ pages }) => [2 * heads.numKvHeads, pages],
  };
}

/**
 * Entries of pages in any form → pages of `kv` in f16, which quantize-page then makes sparse. `tasks [N, 2, 4]`: page-table
 * entries of the page in f16 and of the sparse one. `sources [N, numKvHeads, PAGE_TOKENS]`: for each entry the index in `pages`
 * of its page, times PAGE_TOKENS, plus its index there.
 */
export function gatherEntriesKernel(device: Device, heads: Heads): Kernel<{ pages: number }> {
  const half = halfPrecision(device);
  return {
    name: 'gather-entries',
    sources: [half.source, part('stored-half'), part('page-layout'), part('page-units'), gatherSource],
    enables: half.enables,
    constants: { ...headConstants(heads), ...formConstants, WORKGROUP, ALL_F16: false },
    bindings: [
      reads('tasks', 'vec4u'),
      reads('sources', 'u32'),
      reads('pages', 'vec4u'),
      reads('rope', 'vec4f'),
      writes('kv', 'vec2u'),
    ],
    params: {},
    groups: ({ pages }) => [Math.ceil(heads.headDim / 8 / WORKGROUP), heads.numKvHeads * PAGE_TOKENS, pages],
  };
}

/** Components of the keys, and of the queries, that a workgroup of entry-attention has in its memory: 12 KB in all. */
const STAGED_KEYS = 2048;
const STAGED_QUERIES = 1024;
/** So many invocations to that memory that a GPU holds four waves a SIMD and more. */
const ENTRY_WORKGROUP = 256;

/**
 * What is measured of entries. `share`: the largest share of attention that any query gives an entry. `square`: the squared
 * shares of every SQUARE_STRIDE-th query, summed over these and the query heads.
 */
export type EntryMeasure = 'share' | 'square';
export const SQUARE_STRIDE = 16;

/**
 * A measure of each entry of pages by a batch of one sequence → `found`, from `first` on `[pages, numKvHeads, PAGE_TOKENS]`.
 * The batch's queries are in `qkv`, from `firstQuery` on; their softmaxes are in `partial_outputs`. `page`: index in `pages` of
 * the first page. Unless `isFirst`, what is already in `found` counts too. Heads without entries leave it as it is.
 */
export function entryAttentionKernel(device: Device, heads: Heads, measure: EntryMeasure): Kernel<{ pages: number }> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const KEYS = Math.min(PAGE_TOKENS, 2 ** Math.floor(Math.log2(STAGED_KEYS / heads.headDim)));
  const parts = ['split-outputs', 'page-layout', 'page-units', `entry-measure/${measure}`].map(part);
  return {
    name: 'entry-attention',
    sources: [half.source, scale.source, ...parts, entrySource],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      ...scale.constants,
      WORKGROUP: ENTRY_WORKGROUP,
      KEYS,
      QUERIES: Math.floor(STAGED_QUERIES / heads.headDim),
      QUERY_STRIDE: measure === 'share' ? 1 : SQUARE_STRIDE,
      ALL_F16: false,
    },
    bindings: [
      reads('qkv', 'vec4f'),
      reads('batch_table', 'vec4u'),
      reads('pages', 'vec4u'),
      reads('rope', 'vec4f'),
      reads('kv', 'vec2u'),
      reads('partial_outputs', 'vec4f'),
      writes('found', 'f32'),
    ],
    params: { tokens: 'u32', firstQuery: 'u32', splits: 'u32', page: 'u32', first: 'u32', isFirst: 'u32' },
    groups: ({ pages }) => [PAGE_TOKENS / KEYS, heads.numKvHeads, pages],
  };
}

/** Latest tokens of a sequence whose queries and outputs are kept as probes. */
export const PROBES = 8;
/** Constants of kernels that keep probes: their number, and the sequence slots that have some. */
export const PROBED = { PROBES, SLOTS: MAX_SEQUENCES };

/** Floats of one probe and head: query, output, then maximum and sum of its softmax. */
export const probeFloats = (headDim: number): number => 2 * headDim + 4;

/** Results of one task and head, summed over the queries: the squared change of the attention output, and the squared output. */
export const FOUND_FLOATS = 2;
export const FOUND_BYTES = FOUND_FLOATS * 4;

/** Sum over the heads of the result `which` of the task or group `at`. */
export function sumOverHeads(found: Float32Array, numHeads: number, at: number, which: number): number {
  let sum = 0;
  for (let head = 0; head < numHeads; head++) sum += found[(at * numHeads + head) * FOUND_FLOATS + which] ?? NaN;
  return sum;
}

/** Constants of kernels that read pages one head at a time. */
const headByHead = (device: Device, heads: Heads, workgroup: number) => {
  const { sources, enables, scale } = wholePages(device, heads);
  const constants: KernelText['constants'] = {
    ...headConstants(heads),
    ...formConstants,
    PROBES,
    GROUP: 1,
    ALL_F16: false,
    WORKGROUP: workgroup,
    ...scale,
  };
  return { sources, enables, constants };
};

/** The team of probe-page-shared: all invocations of a workgroup share one page. */
const ONE_TEAM: Teams = { workgroup: 128, teams: 1 };

/**
 * Change of the attention output of the latest `queries` queries if `together` pages at once take another form. `tasks
 * [N, 2, 4]`: page-table entries of a page in both forms. The last query is at `position`; the queries are in `probes
 * [sequence slots, PROBES, numHeads, probeFloats]` → `errors [N / together, numHeads, FOUND_FLOATS]`.
 */
export function probePageKernel(device: Device, heads: Heads): Kernel<{ found: number }> {
  const bound: Pick<KernelText, 'bindings' | 'params'> = {
    bindings: [
      reads('tasks', 'vec4u'),
      reads('qkv', 'vec4f'),
      reads('rope', 'vec4f'),
      reads('kv', 'vec2u'),
      writes('errors', 'vec2f'),
    ],
    params: { first: 'u32', count: 'u32', together: 'u32', queries: 'u32', slot: 'u32', position: 'u32' },
  };
  if (device.variant.sharedPages) {
    const { sources, enables, constants } = pageSharing(device, heads, ONE_TEAM);
    return {
      name: 'probe-page-shared',
      sources: [...sources, probeSharedSource],
      enables,
      constants: { ...constants, PROBES, QUERY_STRIDE: probeFloats(heads.headDim) / 4, ALL_F16: false },
      ...bound,
      groups: ({ found }) => [heads.numKvHeads * headChunks(heads), found],
    };
  }
  const { attentionWorkgroup } = device.variant;
  const { sources, enables, constants } = headByHead(device, heads, attentionWorkgroup);
  return {
    name: 'probe-page',
    sources: [...sources, probeSource],
    enables,
    constants,
    ...bound,
    groups: ({ found }) => [Math.ceil((found * heads.numHeads) / attentionWorkgroup)],
  };
}

/** Most heads whose scores one workgroup computes: one head a component of a vec4f. */
const MOST_HEADS = 4;
/** Most invocations that share a key; each reads 8 bytes next to its neighbour's. */
const MOST_LANES = 6;
/** Least invocations of a team, and most bytes of workgroup memory for all teams, which every device has. */
const LEAST_TEAM = 64;
const MOST_BYTES = 16_384;
/** Bytes of a team's ranges of keys. */
const RANGE_BYTES = 16;

/** Workgroups that share the query heads of one key/value head. */
export const headChunks = ({ numHeads, numKvHeads }: Heads): number => Math.ceil(numHeads / numKvHeads / MOST_HEADS);

/** Query heads of a workgroup. */
const headGroup = (heads: Heads): number => Math.ceil(heads.numHeads / heads.numKvHeads / headChunks(heads));

/** Invocations of a decode workgroup: as the device's variant says, but at least one for four components of a head. */
export const decodeWorkgroup = ({ variant }: Device, { headDim }: Heads): number =>
  Math.max(variant.attentionWorkgroup, headDim / 4);

/** Teams in a workgroup of `workgroup` invocations, a power of two. Each team reads one page at a time. */
export function pageTeams(heads: Heads, workgroup: number): number {
  const { headDim } = heads;
  const leastTeam = Math.max(LEAST_TEAM, headDim / 4);
  const vectors = (headGroup(heads) * headDim) / 4 + keyLanes(headDim).lanes * (PAGE_TOKENS + 1) + PAGE_TOKENS;
  const bytes = vectors * 16 + (headGroup(heads) * headDim) / 2 + RANGE_BYTES;
  return 2 ** Math.floor(Math.log2(Math.min(workgroup / leastTeam, MOST_BYTES / bytes)));
}

/** Invocations of a workgroup, and teams they form. */
export interface Teams {
  workgroup: number;
  teams: number;
}

/** Texts, directives and constants of kernels in which a team scores the keys of a page; see the part `page-scores`. */
export function pageSharing(
  device: Device,
  heads: Heads,
  { workgroup, teams }: Teams,
): Pick<KernelText, 'sources' | 'enables' | 'constants'> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { lanes, steps } = keyLanes(heads.headDim);
  return {
    sources: [half.source, scale.source, part('page-layout'), part('page-units'), part('page-scores')],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      GROUP: headGroup(heads),
      CHUNKS: headChunks(heads),
      LANES: lanes,
      STEPS: steps,
      SUBSETS: Math.min(PAGE_TOKENS, Math.floor((workgroup * 4) / teams / heads.headDim)),
      PARTS_LENGTH: Math.max(lanes * (PAGE_TOKENS + 1), workgroup / teams),
      WORKGROUP: workgroup,
      TEAMS: teams,
      ...scale.constants,
    },
  };
}

/** Invocations that share a key, and steps in which each takes eight components. */
function keyLanes(headDim: number): { lanes: number; steps: number } {
  const octets = headDim / 8;
  let steps = Math.ceil(octets / MOST_LANES);
  while (octets % steps !== 0) steps++;
  return { lanes: octets / steps, steps };
}

/** Texts and directives of kernels in which one invocation attends to whole pages with `attend_page`. */
export function wholePages(
  device: Device,
  heads: Heads,
  window?: number,
): Pick<KernelText, 'sources' | 'enables'> & { sight: KernelText['constants']; scale: KernelText['constants'] } {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const sight = windowOf(window);
  const pages = ['page-layout', 'page-half', 'page-quantized', 'page-attention'].map(part);
  return {
    sources: [half.source, scale.source, sight.source, ...pages],
    enables: half.enables,
    sight: sight.constants,
    scale: scale.constants,
  };
}
