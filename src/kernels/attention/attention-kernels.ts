import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attentionKernel } from '../attention.ts';
import type { Heads } from '../heads.ts';
import { attentionDecodeKernel } from './attention-decode.ts';
import { attentionPrefillKernel } from './attention-prefill.ts';

export type AttentionKernel = Kernel<{ tokens: number; splits: number }>;

/**
 * The attention of a batch of each kind: few tokens of any sequences, or consecutive tokens of one. Where workgroups share
 * pages out, a kernel for each; else one for both.
 */
export function attentionKernels(device: Device, heads: Heads, halfOnly: boolean): Record<'decode' | 'prefill', AttentionKernel> {
  if (device.variant.sharedPages) {
    return { decode: attentionDecodeKernel(device, heads, halfOnly), prefill: attentionPrefillKernel(device, heads, halfOnly) };
  }
  const each = attentionKernel(device, heads, halfOnly);
  return { decode: each, prefill: each };
}
