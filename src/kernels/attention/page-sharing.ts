import pageLayout from '../../../shaders/parts/pages/page-layout.wgsl?raw';
import pageScores from '../../../shaders/parts/pages/page-scores.wgsl?raw';
import pageUnits from '../../../shaders/parts/pages/page-units.wgsl?raw';
import type { Device } from '../../gpu/device.ts';
import type { KernelText } from '../../gpu/kernel.ts';
import { formConstants } from '../formats/page-forms.ts';
import { headConstants, type Heads, PAGE_TOKENS, scoreScale } from '../heads.ts';
import { halfPrecision } from '../slot-choices.ts';

/** Most heads whose scores a workgroup finds: they are the components of a vector. */
const MOST_HEADS = 4;
/** Most invocations that share a key out. */
const MOST_LANES = 12;

/** Workgroups that the heads which share keys and values are shared out to. */
export const headChunks = ({ numHeads, numKvHeads }: Heads): number => Math.ceil(numHeads / numKvHeads / MOST_HEADS);

/** Texts, directives and constants of kernels in which a workgroup finds a query's scores of a page; see page-scores.wgsl. */
export function pageSharing(device: Device, heads: Heads): Pick<KernelText, 'sources' | 'enables' | 'constants'> {
  const half = halfPrecision(device);
  const { attentionWorkgroup: workgroup } = device.variant;
  const { lanes, steps } = keyLanes(heads.headDim);
  return {
    sources: [half.source, pageLayout, pageUnits, pageScores],
    enables: half.enables,
    constants: {
      ...headConstants(heads),
      ...formConstants,
      GROUP: Math.ceil(heads.numHeads / heads.numKvHeads / headChunks(heads)),
      CHUNKS: headChunks(heads),
      LANES: lanes,
      STEPS: steps,
      SUBSETS: Math.min(PAGE_TOKENS, Math.floor((workgroup * 4) / heads.headDim)),
      PARTS_LENGTH: Math.max(lanes * (PAGE_TOKENS + 1), workgroup),
      WORKGROUP: workgroup,
      SCALE: scoreScale(heads),
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
