import aloneSource from '../../shaders/attention-merge/attention-merge-alone.wgsl?raw';
import sharedSource from '../../shaders/attention-merge/attention-merge-shared.wgsl?raw';
import source from '../../shaders/attention-merge/attention-merge.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel, KernelText } from '../gpu/kernel.ts';
import { reads } from './bindings.ts';
import { FINISHED, MAX_SPLITS } from './attention.ts';
import { headConstants, type Heads, rotatedTogether } from './heads.ts';
import { decodeWorkgroup } from './page-sharing.ts';
import { PROBED } from './pages.ts';
import { part } from './shader-library.ts';

type Merge = Kernel<{ tokens: number }>;

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
export function attentionMergeKernels(device: Device, heads: Heads): Record<'decode' | 'prefill', Merge> {
  const { lanes, sharedPages, workgroup } = device.variant;
  const together = {
    name: 'attention-merge',
    sources: [part('keep-probe'), part('rotation'), part('rotated-value'), part('split-outputs'), source],
  };
  const alone = {
    name: 'attention-merge-alone',
    sources: [part('keep-probe'), part('rotation'), part('split-outputs'), aloneSource],
  };
  return {
    prefill:
      lanes === 1
        ? ofItems(heads, rotatedTogether(heads.headDim), workgroup, alone)
        : ofItems(heads, 4, workgroup, together),
    // One workgroup a head, so that few invocations wait at a barrier.
    decode: sharedPages ? shared(device, heads) : ofItems(heads, 4, heads.headDim / 4, together),
  };
}

/** A kernel whose invocations each merge `components` components of a head. */
function ofItems(
  heads: Heads,
  components: number,
  workgroup: number,
  text: Pick<KernelText, 'name' | 'sources'>,
): Merge {
  const items = (heads.numHeads * heads.headDim) / components;
  return {
    ...text,
    constants: { ...headConstants(heads), ...PROBED, WORKGROUP: workgroup },
    ...MERGED,
    groups: ({ tokens }) => [Math.ceil((tokens * items) / workgroup)],
  };
}

function shared(device: Device, heads: Heads): Merge {
  const workgroup = decodeWorkgroup(device, heads);
  const SUBSETS = Math.floor((workgroup * 4) / heads.headDim);
  return {
    name: 'attention-merge-shared',
    sources: [part('keep-probe'), part('rotation'), part('rotated-value'), sharedSource],
    constants: { ...headConstants(heads), ...PROBED, WORKGROUP: workgroup, SUBSETS, MAX_SPLITS },
    ...MERGED,
    groups: ({ tokens }) => [heads.numHeads, tokens],
  };
}
