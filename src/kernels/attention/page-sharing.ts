import pageLayout from '../../../shaders/parts/pages/page-layout.wgsl?raw';
import pageScores from '../../../shaders/parts/pages/page-scores.wgsl?raw';
import pageUnits from '../../../shaders/parts/pages/page-units.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { KernelText } from '../../gpu/kernel.ts';
import { formConstants } from '../formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS } from '../heads.ts';
import { halfPrecision, scoreScaling } from '../slot-choices.ts';

/** Most heads whose scores a workgroup finds: they are the components of a vector. */
const MOST_HEADS = 4;
/** Most invocations that share a key out: each reads 8 bytes of it beside its neighbour's. */
const MOST_LANES = 6;
/** Least invocations of a team, and workgroup memory of all teams: every device has as much. */
const LEAST_TEAM = 64;
const MOST_BYTES = 16_384;

/** Workgroups that the heads which share keys and values are shared out to. */
export const headChunks = ({ numHeads, numKvHeads }: Heads): number => Math.ceil(numHeads / numKvHeads / MOST_HEADS);

/** Heads of a workgroup. */
const headGroup = (heads: Heads): number => Math.ceil(heads.numHeads / heads.numKvHeads / headChunks(heads));

/** Invocations of a workgroup that decodes: as the device has them, but one at least for four components of a head. */
export const decodeWorkgroup = ({ variant }: Device, { headDim }: Heads): number =>
  Math.max(variant.attentionWorkgroup, headDim / 4);

/** Teams of a workgroup of so many invocations, each of which has a page at a time: a power of two. */
export function pageTeams(heads: Heads, workgroup: number): number {
  const { headDim } = heads;
  const leastTeam = Math.max(LEAST_TEAM, headDim / 4);
  const vectors = (headGroup(heads) * headDim) / 4 + keyLanes(headDim).lanes * (PAGE_TOKENS + 1) + PAGE_TOKENS;
  const bytes = vectors * 16 + (headGroup(heads) * headDim) / 2;
  return 2 ** Math.floor(Math.log2(Math.min(workgroup / leastTeam, MOST_BYTES / bytes)));
}

/** A workgroup and its teams. */
export interface Teams {
  workgroup: number;
  teams: number;
}

/** Texts, directives and constants of kernels in which a team finds a query's scores of a page; see page-scores.wgsl. */
export function pageSharing(
  device: Device,
  heads: Heads,
  { workgroup, teams }: Teams,
): Pick<KernelText, 'sources' | 'enables' | 'constants'> {
  const half = halfPrecision(device);
  const scale = scoreScaling(heads);
  const { lanes, steps } = keyLanes(heads.headDim);
  return {
    sources: [half.source, scale.source, pageLayout, pageUnits, pageScores],
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

/** Invocations that share a key out, eight components each in every step. */
function keyLanes(headDim: number): { lanes: number; steps: number } {
  const octets = headDim / 8;
  let steps = Math.ceil(octets / MOST_LANES);
  while (octets % steps !== 0) steps++;
  return { lanes: octets / steps, steps };
}
