import type { Device } from '../gpu/device.ts';
import type { KernelText } from '../gpu/kernel.ts';
import { formConstants } from './formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS } from './heads.ts';
import { halfPrecision, scoreScaling, windowOf } from './kernel-variants.ts';
import { part } from './shader-library.ts';

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
