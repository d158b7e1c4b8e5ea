import source from '../../shaders/attention-merge.wgsl?raw';
import aloneSource from '../../shaders/attention-merge-alone.wgsl?raw';
import keepProbe from '../../shaders/parts/pages/keep-probe.wgsl?raw';
import rotatedValue from '../../shaders/parts/pages/rotated-value.wgsl?raw';
import rotation from '../../shaders/parts/pages/rotation.wgsl?raw';
import splitOutputs from '../../shaders/parts/pages/split-outputs.wgsl?raw';
import sharedSource from '../../shaders/attention/attention-merge-shared.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Kernel, KernelText } from '../gpu/kernel.ts';
import { FINISHED, MAX_SPLITS } from './attention.ts';
import { decodeWorkgroup } from './attention/page-sharing.ts';
import { headConstants, type Heads, rotatedTogether } from './heads.ts';
import { PROBES } from './probe-page.ts';

type Merge = Kernel<{ tokens: number }>;

const MERGED: Pick<KernelText, 'bindings' | 'params'> = {
  bindings: [
    { name: 'partial_outputs', type: 'array<vec4f>', access: 'read' },
    { name: 'batch_table', type: 'array<vec4u>', access: 'read' },
    { name: 'qkv', type: 'array<vec4f>', access: 'read' },
    ...FINISHED,
  ],
  params: { tokens: 'u32', splits: 'u32', slotPages: 'u32' },
};

/**
 * `partial_outputs [T, splits, numHeads, headDim + 4]` → `y [T, numHeads headDim]`; of the last tokens also their part of
 * `probes`, see probe-page.ts. `slotPages`: entries of a stream's region of the page table. Of a batch of each kind: few
 * tokens have many splits, which workgroups share out where they do so with pages. On software adapters a prompt's tokens,
 * which have one split as a rule, do not wait for each other: a barrier there costs more than what it saves.
 */
export function attentionMergeKernels(device: Device, heads: Heads): Record<'decode' | 'prefill', Merge> {
  const { lanes, sharedPages, workgroup } = device.variant;
  const together = { name: 'attention-merge', sources: [keepProbe, rotation, rotatedValue, splitOutputs, source] };
  const alone = { name: 'attention-merge-alone', sources: [keepProbe, rotation, splitOutputs, aloneSource] };
  return {
    prefill:
      lanes === 1
        ? ofItems(heads, rotatedTogether(heads.headDim), workgroup, alone)
        : ofItems(heads, 4, workgroup, together),
    // A head has a workgroup, so that a barrier waits for few.
    decode: sharedPages ? shared(device, heads) : ofItems(heads, 4, heads.headDim / 4, together),
  };
}

/** An invocation has so many components of a head. */
function ofItems(
  heads: Heads,
  components: number,
  workgroup: number,
  text: Pick<KernelText, 'name' | 'sources'>,
): Merge {
  const items = (heads.numHeads * heads.headDim) / components;
  return {
    ...text,
    constants: { ...headConstants(heads), PROBES, WORKGROUP: workgroup },
    ...MERGED,
    groups: ({ tokens }) => [Math.ceil((tokens * items) / workgroup)],
  };
}

function shared(device: Device, heads: Heads): Merge {
  const workgroup = decodeWorkgroup(device, heads);
  const SUBSETS = Math.floor((workgroup * 4) / heads.headDim);
  return {
    name: 'attention-merge-shared',
    sources: [keepProbe, rotation, rotatedValue, sharedSource],
    constants: { ...headConstants(heads), PROBES, WORKGROUP: workgroup, SUBSETS, MAX_SPLITS },
    ...MERGED,
    groups: ({ tokens }) => [heads.numHeads, tokens],
  };
}
