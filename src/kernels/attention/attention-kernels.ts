import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { attentionKernel } from '../attention.ts';
import type { Heads } from '../heads.ts';
import { attentionDecodeKernel, type DecodeForm } from './attention-decode.ts';
import { attentionPrefillKernel } from './attention-prefill.ts';

export type AttentionKernel = Kernel<{ tokens: number; splits: number }>;

/**
 * The attention of tokens that are of a sequence each, and of consecutive tokens of one. Where workgroups share pages out, a
 * kernel for each; else one for both, which stores nothing.
 */
export function attentionKernels(device: Device, heads: Heads, form: DecodeForm): Record<'decode' | 'prefill', AttentionKernel> {
  if (device.variant.sharedPages) {
    return { decode: attentionDecodeKernel(device, heads, form), prefill: attentionPrefillKernel(device, heads, form.halfOnly) };
  }
  const each = attentionKernel(device, heads, form.halfOnly);
  return { decode: each, prefill: each };
}
